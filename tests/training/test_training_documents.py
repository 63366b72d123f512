"""What docs/training.md and the help say of losses and presets is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from deocc_bench.models.config import PRESETS
from deocc_bench.models.training.stages import STAGES
from deocc_bench.synth.spec import DEFAULTS, parse_count_range, parse_ratio
from deocc_bench.training.networks import PRESET_NAMES, trainable
from deocc_bench.training.train_commands import train

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


@pytest.mark.parametrize("stage", STAGES)
def test_the_table_of_loss_terms_is_that_of_the_code(stage: str) -> None:
    _, _, table = PAGE.partition(f"| term of {stage} ")
    recipes = re.findall(r"`(\w+)`", table.splitlines()[0])
    assert set(recipes) == {p.recipe.name for p in PRESETS.values()}
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n\n")[0].splitlines()[2:]]
    assert found == [
        [f"`{t.name}`", *(f"{t.weights.get(r, 0):g}" for r in recipes), ", ".join(t.needs), t.meaning]
        for t in STAGES[stage].terms
    ]


def test_every_preset_is_in_the_help_and_can_be_trained() -> None:
    options = {o.name: o for o in train.commands["mask"].params}
    for name in PRESET_NAMES:
        assert re.search(rf"\b{name}\b", options["preset"].help)
        assert trainable(name).recipe.name in PAGE


@pytest.mark.parametrize("name", ["mask", "content", "templates"])
def test_defaults_of_samples_made_on_the_fly_are_those_of_synth(name: str) -> None:
    defaults = {o.name: o.default for o in train.commands[name].params}
    assert parse_ratio(defaults["ratio"]) == DEFAULTS.ratios
    assert parse_count_range(defaults["per_sample"]) == DEFAULTS.per_sample
    for option in ("placement", "initial", "holdout"):
        assert defaults[option] == getattr(DEFAULTS, option)
    assert defaults["synth_seed"] == DEFAULTS.seed


@pytest.mark.slow
def test_the_loop_in_the_page_runs() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)
    batch = names["batch"]
    assert names["epoch"] == 1
    assert batch["image"].shape[1:] == (3, 128, 128)
    assert all("-epoch-1-" in i for i in batch["id"])
    assert names["amodal"].dtype == torch.bool
