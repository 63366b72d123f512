"""Template masks from somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deocc_bench.core.errors import InputError
from deocc_bench.training.sources import read_templates


@pytest.mark.parametrize(
    ("templates", "says"),
    [
        (torch.zeros(4, 16, 16), r"float32 of shape \(4, 16, 16\)"),
        (torch.zeros(()), r"of shape \(\)"),
        (torch.zeros(4, 32, 32, dtype=torch.int64), "templates are torch.int64"),
        (torch.full((4, 32, 32), torch.nan), "non-finite"),
        (torch.zeros(3, 32, 32), "contains 3 templates, the network has 4"),
    ],
)
def test_templates_that_do_not_fit_are_refused(tmp_path: Path, templates: torch.Tensor, says: str) -> None:
    path = tmp_path / "templates.safetensors"
    save_file({"templates": torch.ones(4, 32, 32)}, path)
    assert torch.equal(read_templates(path, 4), torch.ones(4, 32, 32))
    save_file({"templates": templates}, path)
    with pytest.raises(InputError, match=says):
        read_templates(path, 4)
