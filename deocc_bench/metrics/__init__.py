"""What is measured: pure functions from arrays to per-sample rows, and from the table of rows to numbers.

A sample becomes one flat row of sufficient statistics (`mask_row`, `content_row`); rows become a table
(`table.to_table`); every number is a function of that table (`aggregate`), or of two feature matrices
(`distribution`). So batching, sharding, resuming and re-scoring cannot change a number.
"""

from __future__ import annotations
