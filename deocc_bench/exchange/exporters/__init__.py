"""Dataset folders out: COCOA, flat COCO, WebDataset shards, a Hugging Face image folder. Masks go as RLE: exact.

An exporter is a function `export(dataset, splits, out, *, options...)` that returns the files it wrote. Its
keyword-only parameters are its options. Installed packages add exporters under the entry point group
`deocc_bench.exporters`.
"""

from __future__ import annotations

from deocc_bench.core.registry import Registry

EXPORTERS = Registry(
    "format",
    {
        "cocoa": "deocc_bench.exchange.exporters.cocoa:export",
        "coco": "deocc_bench.exchange.exporters.coco_flat:export",
        "webdataset": "deocc_bench.exchange.exporters.webdataset:export",
        "huggingface": "deocc_bench.exchange.exporters.huggingface:export",
    },
    "deocc_bench.exporters",
)
