"""Exporters: COCOA, flat COCO, WebDataset shards, Hugging Face image folder. Masks are exported as RLE, without loss.

An exporter is a function `export(dataset, splits, out, *, options...)` that returns the files it wrote. Its
keyword-only parameters are its options. Installed packages add exporters in the entry point group
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
