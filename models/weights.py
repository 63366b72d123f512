"""Weights as safetensors files, with their configuration and training record as metadata. Pickle is never read."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors.torch import save
from torch import Tensor, nn

from deocc_bench.core.errors import DeoccError, InputError, describe_error
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import checked, parse_json, require_object
from deocc_bench.core.provenance import digest
from deocc_bench.models.config import ContentConfig, MaskConfig, differences
from deocc_bench.models.content_net import ContentNet
from deocc_bench.models.mask_net import MaskNet
from deocc_bench.models.safetensors_file import misfits, read_safetensors

FORMAT = "deocc-bench weights 1"
SHIPPED = Path(__file__).parent / "weights"
_VERSION = "use a matching version"
_LARGEST = 65_536  # of any number in a configuration
_LARGEST_SIDE = 4096  # `size` has no influence on the shapes of the tensors, but on the memory of a prediction

Kind = Literal["mask", "content"]
Config: TypeAlias = MaskConfig | ContentConfig
Net: TypeAlias = MaskNet | ContentNet


@dataclass(frozen=True)
class WeightsInfo:
    """The metadata of a weights file."""

    path: Path
    kind: Kind
    preset: str
    config: dict[str, Any]
    digest: str
    """Hex SHA-256 over the names and stored values of the tensors."""
    training: dict[str, Any]


def build(config: Config, seed: int = 0) -> Net:
    """Initialise a network for a configuration. The same seed gives the same weights; global state is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MaskNet(config) if isinstance(config, MaskConfig) else ContentNet(config)


def shipped_weights(name: str) -> Path | None:
    """The file of the shipped weights with this name, e.g. ``tiny-mask``; None if there are none."""
    path = SHIPPED / f"{name}.safetensors"
    return path if path.is_file() else None


def save_weights(
    path: str | Path, net: Net, preset: str, training: dict[str, Any] | None = None, half: bool = False
) -> WeightsInfo:
    """Write a network's parameters and buffers, atomically; `half` stores kernels and matrices as float16.

    `training` is a JSON-able record of the training. Raises `DeoccError` if the file can't be written or a tensor
    contains a non-finite number.
    """
    tensors = stored(path, net, half)
    kind: Kind = "mask" if isinstance(net, MaskNet) else "content"
    config = dataclasses.asdict(net.config)
    info = WeightsInfo(Path(path), kind, preset, config, _digest(tensors), training or {})
    metadata = {
        "format": FORMAT,
        "kind": kind,
        "preset": preset,
        "config": json.dumps(config, sort_keys=True),
        "digest": info.digest,
        "training": json.dumps(info.training, sort_keys=True),
    }
    atomic_write(path, save(tensors, metadata))
    return info


def read_info(path: str | Path) -> WeightsInfo:
    """Read the metadata of a weights file; raises `InputError` if it is not a weights file or not complete."""
    return _read(path, tensors=False)[0]


def load_weights(path: str | Path, config: Config | None = None) -> tuple[Net, WeightsInfo]:
    """Load the network of a weights file, in evaluation mode and float32.

    With `config` the file must have that configuration. Raises `InputError` that names the differences: the kind of
    network, configuration fields, missing tensors or wrong shapes, or a digest that does not match the content.
    """
    info, tensors = _read(path, tensors=True)
    wanted = config or _config(info)
    kind = "mask" if isinstance(wanted, MaskConfig) else "content"
    if info.kind != kind:
        raise InputError(path, f"holds a {info.kind} network, not a {kind} network", f"give {kind} weights")
    wrong = differences(wanted, info.config)
    if wrong:
        raise InputError(path, f"has another configuration ({'; '.join(wrong)})", f"use preset '{info.preset}'")
    # The shapes are compared before memory is allocated for them: the configuration comes from the file.
    try:
        with torch.device("meta"):
            expected = build(wanted).state_dict()
    except (ValueError, RuntimeError, ArithmeticError, TypeError) as error:  # e.g. odd widths
        raise InputError(path, f"its configuration is impossible ({describe_error(error)})", _VERSION) from error
    wrong = misfits(tensors, expected)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(path, "; ".join(wrong[:3]) + more, "the file was edited or made by another version")
    if _digest(tensors) != info.digest:
        raise InputError(path, "the tensors do not match the digest stored with them", "copy or download it again")
    broken = _not_finite(tensors)
    if broken:
        raise InputError(path, f"{', '.join(broken[:3])} contains non-finite numbers", "train it again")
    net = build(wanted)
    net.load_state_dict({name: value.to(expected[name].dtype) for name, value in tensors.items()})
    return net.eval(), info


def stored(path: str | Path, net: nn.Module, half: bool) -> dict[str, Tensor]:
    """The parameters and buffers to store in the file at `path`; `half`: kernels and matrices as float16.

    Vectors stay float32: they are small, and a variance may exceed the range of float16. Raises `DeoccError` if a
    tensor contains a non-finite number.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    if half:
        tensors = {k: v.half() if v.is_floating_point() and v.dim() > 1 else v for k, v in tensors.items()}
    broken = _not_finite(tensors)
    if broken:
        raise DeoccError(f"{path}: not written, {', '.join(broken[:3])} would contain non-finite numbers")
    return tensors


def _not_finite(tensors: dict[str, Tensor]) -> list[str]:
    return [name for name, value in tensors.items() if not torch.isfinite(value).all()]


def _digest(tensors: dict[str, Tensor]) -> str:
    return digest(*(item for name in sorted(tensors) for item in (name, tensors[name].numpy())))


def _config(info: WeightsInfo) -> Config:
    kind: type[Config] = MaskConfig if info.kind == "mask" else ContentConfig
    cure = _VERSION
    unknown = sorted(set(info.config) - {f.name for f in dataclasses.fields(kind)})
    if unknown:
        raise InputError(info.path, f"its configuration is unknown ({', '.join(unknown[:3])})", cure)
    config = checked(info.config, kind, f"{info.path}: configuration", cure)
    for name, value in dataclasses.asdict(config).items():
        largest = _LARGEST_SIDE if name == "size" else _LARGEST
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value <= largest:
            raise InputError(info.path, f"its configuration is impossible ({name} is {value})", cure)
    return config


def _read(path: str | Path, tensors: bool) -> tuple[WeightsInfo, dict[str, Tensor]]:
    found, values = read_safetensors(
        path,
        FORMAT,
        tensors=tensors,
        missing="check the path of the weights",
        broken="copy or train it again",
        other="use weights written by deocc-bench",
    )
    metadata: dict[str, Any] = {**found}
    cure = "copy or train it again"
    missing = [name for name in ("config", "training", "kind", "preset", "digest") if name not in metadata]
    if missing:
        raise InputError(path, f"its metadata lacks {', '.join(missing)}", cure)
    config, training = (
        require_object(parse_json(metadata[name], f"{path}: {name}"), f"{path}: {name}", cure)
        for name in ("config", "training")
    )
    kind, preset, stored = metadata["kind"], metadata["preset"], metadata["digest"]
    if kind not in ("mask", "content"):
        raise InputError(path, f"holds an unknown kind of network '{kind}'", "use a matching version")
    return WeightsInfo(Path(path), kind, preset, config, stored, training), values
