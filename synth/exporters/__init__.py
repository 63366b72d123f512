"""Dataset folders out: COCOA, flat COCO, WebDataset shards, a Hugging Face image folder. Masks go as RLE: exact."""

from __future__ import annotations

from deocc_bench.core.registry import Registry

EXPORTERS = Registry(
    "format",
    {
        "cocoa": "deocc_bench.synth.exporters.cocoa:export",
        "coco": "deocc_bench.synth.exporters.coco_flat:export",
        "webdataset": "deocc_bench.synth.exporters.webdataset:export",
        "huggingface": "deocc_bench.synth.exporters.huggingface:export",
    },
)
