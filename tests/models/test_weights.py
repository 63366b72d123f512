"""Weights files: round trip, what a mismatch says, what a broken file says."""

import dataclasses
import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.models.config import ContentConfig, MaskConfig
from deocc_bench.models.weights import FORMAT, build, load_weights, read_info, save_weights, shipped_weights

CONFIG = MaskConfig(width=4, branch_width=8, modal_width=4, amodal_width=4, template_width=4, template_count=5)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_weights(path, build(CONFIG, seed=3), "tiny", {"steps": 7})
    return path


def metadata_of(path: Path) -> dict[str, str]:
    raw = path.read_bytes()
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]


def test_round_trip(saved: Path) -> None:
    net, info = load_weights(saved)
    expected = build(CONFIG, seed=3).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in net.state_dict().items())
    assert not net.training
    assert (info.kind, info.preset, info.training) == ("mask", "tiny", {"steps": 7})
    assert info.config == dataclasses.asdict(CONFIG)
    assert read_info(saved) == info
    again = saved.with_name("again.safetensors")
    assert save_weights(again, net, "tiny", {"steps": 7}).digest == info.digest
    assert "reweighting.templates" in load_file(saved)


def test_half_is_half_the_size_and_close(tmp_path: Path, saved: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_weights(path, build(CONFIG, seed=3), "tiny", half=True)
    assert path.stat().st_size < 0.7 * saved.stat().st_size
    net, _ = load_weights(path)
    expected = build(CONFIG, seed=3).state_dict()
    for name, value in net.state_dict().items():
        assert value.dtype == expected[name].dtype
        assert torch.allclose(value.float(), expected[name].float(), atol=1e-3)


def test_build_is_seeded_and_leaves_the_global_state(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    first, second = build(CONFIG, seed=1).state_dict(), build(CONFIG, seed=1).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = build(CONFIG, seed=2).state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_mismatch_says_what_differs(saved: Path) -> None:
    with pytest.raises(InputError, match="width: 16 here, 4 in the file"):
        load_weights(saved, dataclasses.replace(CONFIG, width=16))
    with pytest.raises(InputError, match="holds a mask network, not a content network"):
        load_weights(saved, ContentConfig())


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **metadata: str) -> None:
    kept = metadata_of(path)
    save_file(load_file(path) if tensors is None else tensors, path, {**kept, **metadata})


def test_tensors_that_do_not_fit(saved: Path) -> None:
    tensors = load_file(saved)
    name = "modal_head.0.weight"
    rewrite(saved, {**tensors, name: tensors[name][:1]})
    with pytest.raises(InputError, match=rf"{name} has shape \(1, 12, 3, 3\), not \(4, 12, 3, 3\)"):
        load_weights(saved)
    del tensors[name]
    rewrite(saved, {**tensors, "surplus": torch.zeros(1)})
    with pytest.raises(InputError, match=rf"{name} is missing; surplus is unknown"):
        load_weights(saved)


def test_changed_values_do_not_match_the_digest(saved: Path) -> None:
    tensors = load_file(saved)
    tensors["modal_head.0.bias"] += 1
    rewrite(saved, tensors)
    with pytest.raises(InputError, match="do not match the digest"):
        load_weights(saved)


def test_broken_files_are_one_line(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    for cut in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="not a complete safetensors file") as caught:
            load_weights(saved)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        load_weights(tmp_path / "absent.safetensors")
    saved.write_bytes(whole)
    rewrite(saved, format="other 3")
    with pytest.raises(InputError, match=f"its format is 'other 3', not '{FORMAT}'"):
        load_weights(saved)
    rewrite(saved, format=FORMAT, config="{")
    with pytest.raises(InputError, match="config: not valid JSON"):
        load_weights(saved)
    rewrite(saved, config='{"depth": 9}')
    with pytest.raises(InputError, match="configuration is unknown"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"template_count": 1_000_000}, "template_count is 1000000"),
        ({"template_count": 65_000}, r"has shape .*, not \(65000"),
        ({"width": "16"}, "width: expected int, got str"),
        ({"width": -1}, "width is -1"),
        ({"width": None}, "width: expected int, got null"),
        ({"size": float("nan")}, "can't be stored"),
        ({"size": 65_536}, "size is 65536"),
    ],
)
def test_a_hostile_configuration_allocates_nothing(saved: Path, change: dict[str, object], says: str) -> None:
    config = json.loads(metadata_of(saved)["config"])
    rewrite(saved, config=json.dumps(config | change))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=says):
        load_weights(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_variances_beyond_half_precision_are_kept(tmp_path: Path) -> None:
    net = build(CONFIG, seed=3)
    norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert norm.running_var is not None
    norm.running_var.fill_(1e6)
    save_weights(tmp_path / "net.safetensors", net, "tiny", half=True)
    again, _ = load_weights(tmp_path / "net.safetensors")
    norm = next(m for m in again.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert norm.running_var is not None
    assert torch.equal(norm.running_var, torch.full_like(norm.running_var, 1e6))


def test_infinite_weights_are_neither_written_nor_read(tmp_path: Path, saved: Path) -> None:
    net = build(CONFIG, seed=3)
    name, values = next((n, p) for n, p in net.named_parameters() if p.dim() == 4)
    values.data[0, 0, 0, 0] = 1e6  # infinite in float16
    with pytest.raises(DeoccError, match=f"not written, {name} would contain non-finite"):
        save_weights(tmp_path / "half.safetensors", net, "tiny", half=True)
    assert not (tmp_path / "half.safetensors").exists()
    values.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(DeoccError, match="non-finite"):
        save_weights(saved, net, "tiny")
    load_weights(saved)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_weights(path)


def test_shipped_weights_that_do_not_exist() -> None:
    assert shipped_weights("no-such-preset-mask") is None


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.complex64])
def test_other_number_types_are_refused(saved: Path, kind: torch.dtype) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - no mapping
    name = next(k for k, v in tensors.items() if v.dtype == torch.float32)
    save_file(tensors | {name: tensors[name].to(kind)}, saved, metadata)
    with pytest.raises(InputError, match=f"{name} is of type {kind}, not torch.float32"):
        load_weights(saved)
