"""`deocc-bench train` and `ablate`: where data, networks and the benchmark's metrics are brought together."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.registry import unknown

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from deocc_bench.models.training.config import TrainConfig
    from deocc_bench.models.training.data import Example, Source
    from deocc_bench.models.training.loop import Validation
    from deocc_bench.synth.spec import SynthSpec

UNET = "unet"
# What validation looks at, the deciding one first, and whether higher is better.
METRICS = {
    "mask": ("amodal_iou_mean", "invisible_iou_mean", "modal_iou_mean"),
    "content": ("ssim_invisible", "l1_invisible", "garment_delta_e"),
}
_PROBES = 8


@dataclass(frozen=True)
class Request:
    """What the options of `train` and `ablate` ask for, beside the training settings.

    Args:
        stage: "mask" or "content"; preset: of the networks, or "unet".
        data, split: a dataset folder to learn from; else humans, occluders and the following make samples on the fly.
        holdout, ratio, per_sample, initial, allow_bags, synth_seed, placement: as for `synth`.
        val, val_split: a dataset folder to validate on; templates: a file of template masks.
        start: weights to begin with.
        net: settings of the network that differ from the preset.
    """

    stage: str
    preset: str
    data: Path | None
    split: str
    humans: tuple[str, ...]
    occluders: tuple[str, ...]
    holdout: int
    ratio: str
    per_sample: str
    initial: str
    allow_bags: bool
    synth_seed: int
    placement: str
    val: Path | None
    val_split: str
    val_limit: int | None
    templates: Path | None
    start: Path | None
    net: tuple[str, ...]


class OnlineSource:
    """Samples on the fly as training examples; what bags hide of a person is marked as unknown."""

    def __init__(self, spec: SynthSpec, split: str) -> None:
        from deocc_bench.synth.online import OnlineSamples
        from deocc_bench.synth.plan import open_sources

        self.samples = OnlineSamples(spec, split)
        self._sources = open_sources(spec)
        self._unknown: dict[int, np.ndarray | None] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def example(self, epoch: int, index: int) -> Example:
        """The sample of human `index` in an epoch."""
        from deocc_bench.models.training.data import Example

        self.samples.set_epoch(epoch)
        sample = self.samples[index]
        if index not in self._unknown:
            self._unknown[index] = self._find_unknown(index)
        return Example.of(sample, self._unknown[index])

    def _find_unknown(self, index: int) -> np.ndarray | None:
        """bool size x size in the human's crop; None where all is known."""
        import cv2

        from deocc_bench.core.masks import tight_box
        from deocc_bench.synth.crop import cut, window

        entry, size = self.samples.entries[index], self.samples.spec.size
        source = self._sources[entry.source]
        # Of the kinds of humans, only those with labelled bags can say what they do not know.
        if not hasattr(source, "unknown") or size is None:
            return None
        whole = source.unknown(entry.id)
        if not whole.any():
            return None
        box = tight_box(source.load(entry.id).mask)
        assert box is not None
        crop = cut(whole, window(box)).astype("uint8")
        return cv2.resize(crop, (size, size), interpolation=cv2.INTER_NEAREST_EXACT) > 0


def open_source(request: Request) -> tuple[Source, dict[str, Any]]:
    """The training examples, and what a record says about them.

    Raises:
        UsageError: neither a dataset nor sources, or both.
        InputError: broken input.
    """
    from deocc_bench.core.dataset import DatasetReader
    from deocc_bench.models.training.data import FolderSource
    from deocc_bench.synth.spec import SynthSpec, parse_count_range, parse_ratio

    if (request.data is None) == (not request.humans):
        raise UsageError("say what to learn from: either --data DATASET, or --humans and --occluders")
    if request.data is not None:
        reader = DatasetReader(request.data)
        about = {"dataset": reader.name, "fingerprint": reader.fingerprint, "split": request.split}
        return FolderSource(reader, request.split), about
    if not request.occluders:
        raise UsageError("--humans needs --occluders, e.g. --occluders shapes")
    spec = SynthSpec(
        humans=request.humans,
        occluders=request.occluders,
        variants=8,
        ratios=parse_ratio(request.ratio),
        per_sample=parse_count_range(request.per_sample),
        initial=request.initial,
        allow_bags=request.allow_bags,
        holdout=request.holdout,
        seed=request.synth_seed,
        placement=request.placement,
    )
    source = OnlineSource(spec, request.split)
    return source, {"on_the_fly": spec.public(), "split": request.split, "humans": len(source)}


def build_net(request: Request, seed: int) -> nn.Module:
    """The network of a request, freshly initialised or from `start`.

    Raises:
        UsageError: unknown preset or setting.
        InputError: `start` is of another configuration.
    """
    import torch

    from deocc_bench.models.config import PRESETS, preset
    from deocc_bench.models.weights import build, load_weights

    if request.preset == UNET:
        from deocc_bench.baselines.unet import UNet, load_unet

        if request.stage != "mask" or request.net:
            raise UsageError("the plain U-Net completes masks and has no settings: train mask --preset unet")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return load_unet(request.start) if request.start else UNet()
    if request.preset not in PRESETS:
        raise UsageError(unknown("preset", request.preset, (*PRESETS, UNET)))
    config: Any = getattr(preset(request.preset), request.stage)
    known = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changes: dict[str, Any] = {}
    for pair in request.net:
        key, equals, text = pair.partition("=")
        if not equals or key not in known:
            raise UsageError(unknown("network setting", key, known))
        changes[key] = _setting(key, text, known[key])
    config = dataclasses.replace(config, **changes)
    return load_weights(request.start, config)[0] if request.start else build(config, seed)


def _setting(key: str, text: str, old: Any) -> Any:
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(old, str):
            return text
        return None if text == "none" else (int(text) if isinstance(old, int) else float(text))
    except (KeyError, ValueError):
        raise UsageError(f"--net {key}={text}: expected a value like {str(old).lower()}") from None


def train_size(request: Request, net: Any) -> int:
    """Side in pixels that a network works at."""
    if request.preset == UNET:
        from deocc_bench.baselines.unet import SIZE

        return SIZE
    return int(net.config.size)


def fitted(masks: list[np.ndarray], count: int) -> Any:
    """Template masks, count x 32 x 32, of the masks and their mirror images; repeated where those are few."""
    import numpy as np
    import torch

    from deocc_bench.models.templates import fit_templates

    both = [view for mask in masks for view in (mask, mask[:, ::-1])]
    templates = fit_templates(both, min(count, len(both)))
    return torch.from_numpy(np.resize(templates, (count, *templates.shape[1:])))


def amodal_masks(source: Source, most: int = 1000) -> list[np.ndarray]:
    """Whole-person masks of a source, of those that are known completely."""
    examples = (source.example(0, i) for i in range(min(most, len(source))))
    return [e.amodal for e in examples if e.unknown is None or not e.unknown.any()]


def read_templates(path: Path, count: int) -> Any:
    """Template masks of a file of `train templates`.

    Raises:
        InputError: missing, broken, or another number of them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        templates = load_file(path)["templates"]
    except FileNotFoundError:
        raise InputError(path, "no such file", "make it with `deocc-bench train templates`") from None
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(path, f"holds no templates ({error})", "make it with `deocc-bench train templates`") from None
    if len(templates) != count:
        raise InputError(path, f"holds {len(templates)} templates, the network has {count}", f"fit {count} of them")
    return templates


def run_training(request: Request, config: TrainConfig, out: Path, resume: bool) -> dict[str, Any]:
    """One run from the options to the record that goes with the weights.

    Raises:
        DeoccError: whatever a user can mend.
    """
    import torch

    from deocc_bench.core.files import atomic_write, dump_json
    from deocc_bench.models.training.config import to_toml
    from deocc_bench.models.training.curves import draw_curves
    from deocc_bench.models.training.data import Feed
    from deocc_bench.models.training.distributed import world
    from deocc_bench.models.training.loop import Job, train
    from deocc_bench.models.training.stages import ContentStage, MaskStage

    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    with world(config.run.device, config.optim.batch) as here:
        tell = _teller(here.first)
        net: Any = build_net(request, config.run.seed)
        source, about = open_source(request)
        config, vgg = _possible(config, request.stage, source, tell)
        if vgg is not None:
            vgg = vgg.to(here.device)
        if hasattr(net, "reweighting") and not request.start and not resume:
            count = net.config.template_count
            given = read_templates(request.templates, count) if request.templates else None
            net.reweighting.templates.copy_(fitted(amodal_masks(source), count) if given is None else given)
        stage = MaskStage(config.loss, vgg) if request.stage == "mask" else ContentStage(config.loss, vgg)
        settings = dataclasses.asdict(net.config) if request.preset != UNET else {"width": net.width}
        identity = {"stage": request.stage, "preset": request.preset, "network": settings, "data": about}
        if request.start:
            from deocc_bench.core.files import sha256_file

            identity["started_from"] = sha256_file(request.start)
        if here.first:
            atomic_write(out / "config.toml", to_toml(config))
        size = config.data.size or train_size(request, net)
        job = Job(
            net=net,
            stage=stage,
            feed=Feed(source, config.data, size, config.run.seed),
            config=config,
            out=out,
            identity=identity,
            save=_saver(request.preset),
            validation=_validation(request, out) if here.first or request.val else None,
            resume=resume,
            say=tell,
        )
        record = train(job, here)
        if here.first:
            atomic_write(out / "train.json", dump_json(record))
            try:
                draw_curves(out)
            except DeoccError as error:
                tell(str(error))
    return record


def _teller(first: bool) -> Callable[[str], None]:
    def tell(line: str) -> None:
        if first:
            click.echo(line, err=True)

    return tell


def _possible(config: TrainConfig, stage: str, source: Source, tell: Callable[[str], None]) -> tuple[TrainConfig, Any]:
    """The settings without the terms that data or files can't give, each said once; and VGG-16 where it is used."""
    from deocc_bench.models.training.losses import needs_vgg
    from deocc_bench.models.training.perceptual import load_vgg

    step = max(1, len(source) // _PROBES)
    probes = [source.example(0, i) for i in range(0, len(source), step)]
    weights, off = dict(config.loss.weights), []
    if any(e.parsing is None for e in probes):
        off = [n for n in ("parsing_modal", "parsing_amodal", "part_colour") if weights.get(n, 0) > 0]
        if off:
            tell(f"no parsing in the data: trained without {', '.join(off)}")
    if stage == "content" and any(e.complete is None for e in probes):
        raise InputError("the data", "has samples without a complete image", "use synthesised data to train content")
    wanting = needs_vgg(weights)
    if wanting and not config.loss.vgg:
        tell(f"no VGG-16 weights (loss.vgg): trained without {', '.join(wanting)}")
        off += wanting
    weights |= dict.fromkeys(off, 0.0)
    loss = dataclasses.replace(config.loss, weights=weights)
    vgg = load_vgg(config.loss.vgg) if needs_vgg(weights) else None
    return dataclasses.replace(config, loss=loss), vgg


def _saver(preset_name: str) -> Callable[[Any, Path, dict[str, Any]], None]:
    def save(net: Any, path: Path, training: dict[str, Any]) -> None:
        if preset_name == UNET:
            from deocc_bench.baselines.unet import save_unet

            save_unet(net, path)
            return
        from deocc_bench.models.weights import save_weights

        save_weights(path, net, preset_name, training, half=True)

    return save


def _validation(request: Request, out: Path) -> Validation | None:
    from deocc_bench.models.training.loop import Validation

    if request.val is None:
        return None
    names: tuple[str, ...] = METRICS[request.stage]
    if request.preset == UNET:
        names = names[:2]

    def score(net: Any) -> dict[str, float]:
        path = out / "validated.safetensors"
        _saver(request.preset)(net, path, {})
        try:
            return score_weights(request, path, names)
        finally:
            path.unlink(missing_ok=True)

    return Validation(score, names[0])


def score_weights(request: Request, weights: Path, metrics: tuple[str, ...]) -> dict[str, float]:
    """The benchmark's metrics of stored weights on the validation data, as `evaluate` would give them."""
    from deocc_bench.benchmark.metrics.aggregate import aggregate
    from deocc_bench.benchmark.metrics.content import content_row
    from deocc_bench.benchmark.metrics.masks import mask_row, truth_row
    from deocc_bench.benchmark.metrics.table import identity_row, to_table
    from deocc_bench.core.dataset import DatasetReader
    from deocc_bench.core.types import Batch, MaskOutput

    assert request.val is not None
    reader = DatasetReader(request.val)
    method: Any
    if request.preset == UNET:
        from deocc_bench.baselines.unet import UNetMethod

        method = UNetMethod(weights)
    else:
        from deocc_bench.models.methods import ContentBaseline, MaskBaseline

        # The single-stage methods: a given file brings its own configuration.
        method = (MaskBaseline if request.stage == "mask" else ContentBaseline)(request.preset, weights)
    rows = []
    for record in list(reader.records(request.val_split))[: request.val_limit]:
        s = record.load()
        parsing = None if s.parsing is None else s.parsing[None]
        row = identity_row(s.id, s.group_id)
        if request.stage == "mask":
            given = s.modal if s.initial is None else s.initial
            answer: MaskOutput = method.complete(Batch((s.id,), s.image[None], initial=given[None]))
            modal = None if answer.modal is None else answer.modal[0]
            row |= mask_row(s.amodal, s.modal, answer.amodal[0], modal, given, boundary_iou=False)
        else:
            if s.complete is None:
                raise InputError(request.val, f"sample {s.id} has no complete image", "validate on synthesised data")
            batch = Batch((s.id,), s.image[None], modal=s.modal[None], amodal=s.amodal[None], parsing=parsing)
            image = method.recover(batch).images[0]
            row |= truth_row(s.amodal, s.modal) | content_row(s.image, s.complete, s.amodal, s.modal, image, s.parsing)
        rows.append(row)
    values = aggregate(to_table(rows), request.stage, resamples=0, metrics=metrics)
    return {name: float("nan") if v["value"] is None else float(v["value"]) for name, v in values.items()}


def _config_of(stage: str, request_preset: str, file: Path | None, pairs: tuple[str, ...]) -> TrainConfig:
    from deocc_bench.models.training.config import default_config, read_config

    return read_config(default_config(stage, request_preset), stage, file, pairs)


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `train mask`, `train content` and `ablate` share."""
    folder = click.Path(path_type=Path)
    options = [
        click.option("--preset", default="tiny", show_default=True, help="paper, small or tiny; for masks also unet."),
        click.option(
            "--out", required=True, type=folder, help="The run's folder; new, or a stopped run's with --resume."
        ),
        click.option("--data", type=folder, help="A dataset folder to learn from."),
        click.option("--split", default="train", show_default=True, help="Of the data or the photos."),
        click.option(
            "--humans", multiple=True, metavar="KIND:PATH", help="Instead: make samples on the fly. Repeatable."
        ),
        click.option("--occluders", multiple=True, metavar="KIND:PATH", help="Cut-out objects. Repeatable."),
        click.option("--holdout", default=0, metavar="N", help="Never learn from photos whose number N divides."),
        click.option("--ratio", default="0.05-0.7", show_default=True, help="Occlusion ratio, as for synth."),
        click.option("--occluders-per-sample", "per_sample", default="1-3", show_default=True, metavar="N|LOW-HIGH"),
        click.option("--placement", default="overlap", show_default=True, help="Of occluders, as for synth."),
        click.option("--initial", default="detector:0.5", show_default=True, help="Initial masks, as for synth."),
        click.option("--allow-bags", is_flag=True, help="Learn from people with bags too; what bags hide is ignored."),
        click.option("--synth-seed", default=0, show_default=True, help="Seed of the samples made on the fly."),
        click.option("--val", type=folder, help="A dataset folder to validate on."),
        click.option("--val-split", default="val", show_default=True),
        click.option("--val-limit", type=click.IntRange(min=1), help="Validate on the first N samples only."),
        click.option("--templates", type=folder, help="Template masks of `train templates`; else fitted to the data."),
        click.option("--start", type=folder, help="Weights to begin with."),
        click.option("--net", multiple=True, metavar="KEY=VALUE", help="A network setting, e.g. branches=false."),
        click.option("--config", "file", type=folder, help="TOML file of training settings."),
        click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting, e.g. optim.lr=0.001."),
        click.option("--steps", type=click.IntRange(min=1), help="Steps of the run."),
        click.option("--minutes", type=float, help="Wall-clock budget of the run; the schedule is fitted to it."),
        click.option("--seed", type=int, help="Of initialisation, order and augmentation."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _begin(
    stage: str,
    file: Path | None,
    pairs: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    rest: Mapping[str, Any],
) -> tuple[Request, TrainConfig]:
    request = Request(stage=stage, **rest)
    named = {"optim.steps": steps, "optim.minutes": minutes, "run.seed": seed}
    pairs = (*pairs, *(f"{k}={v}" for k, v in named.items() if v is not None))
    return request, _config_of(stage, request.preset, file, pairs)


@click.group(short_help="Train a stage of the network, or fit template masks.")
def train() -> None:
    """Train a stage of the network from a dataset folder or on the fly; several processes under torchrun.

    A run's folder holds weights.safetensors (what `evaluate two-stage --option weights=` takes), last.ckpt (for
    --resume), log.csv, curves.png, config.toml and train.json.
    """


@train.command("mask", short_help="Train stage 1, the refined mask completion.")
@_shared
@click.option("--resume", is_flag=True, help="Go on with a stopped run, exactly where it was.")
def train_mask(
    out: Path,
    resume: bool,
    file: Path | None,
    pairs: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    **rest: Any,
) -> None:
    """Train stage 1: from image and initial mask to modal and amodal masks and parsing."""
    request, config = _begin("mask", file, pairs, steps, minutes, seed, rest)
    _told(run_training(request, config, out, resume), out)


@train.command("content", short_help="Train stage 2, the content recovery.")
@_shared
@click.option("--resume", is_flag=True, help="Go on with a stopped run, exactly where it was.")
def train_content(
    out: Path,
    resume: bool,
    file: Path | None,
    pairs: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    **rest: Any,
) -> None:
    """Train stage 2: from the visible part, true masks and parsing to what is hidden."""
    request, config = _begin("content", file, pairs, steps, minutes, seed, rest)
    _told(run_training(request, config, out, resume), out)


@train.command("templates", short_help="Fit the template masks of stage 1.")
@_shared
@click.option("--count", default=32, show_default=True, help="How many: tiny has 32, the others 64.")
def train_templates(out: Path, count: int, seed: int | None, **rest: Any) -> None:
    """Fit template masks by k-means and write them to the file --out."""
    from safetensors.torch import save

    from deocc_bench.core.files import atomic_write

    for name in ("file", "pairs", "steps", "minutes"):
        rest.pop(name)
    source, _ = open_source(Request(stage="mask", **rest))
    masks = amodal_masks(source)
    atomic_write(out, save({"templates": fitted(masks, count)}))
    click.echo(f"{count} templates of {len(masks)} people in {out}")


@click.command(short_help="Train and score the switches of a network, one table.")
@click.argument("stage", type=click.Choice(("mask", "content")))
@_shared
@click.option("--rows", default="", metavar="NAME,...", help="Only these rows.")
def ablate(
    stage: str,
    out: Path,
    rows: str,
    file: Path | None,
    pairs: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    **rest: Any,
) -> None:
    """Train each switch of a stage's network under one budget, score it on --val, and print one table.

    Rows that are finished in --out are not trained again.
    """
    from deocc_bench.core.files import atomic_write, read_json
    from deocc_bench.models.training.ablate import rows_of, to_markdown

    request, config = _begin(stage, file, pairs, steps, minutes, seed, rest)
    if request.val is None:
        raise UsageError("ablate needs --val DATASET to score on")
    chosen = rows_of(stage, tuple(r for r in rows.split(",") if r))
    results: list[dict[str, Any]] = []
    for name, changes in chosen.items():
        preset_name = UNET if name == UNET else request.preset
        net = (*request.net, *(f"{k}={str(v).lower()}" for k, v in changes.items()))
        one = dataclasses.replace(request, preset=preset_name, net=() if name == UNET else net)
        folder = out / name
        if not (folder / "train.json").exists():
            click.echo(f"row {name}", err=True)
            run_training(one, config, folder, resume=(folder / "last.ckpt").exists())
        record = read_json(folder / "train.json")
        metrics = METRICS[stage][: 2 if name == UNET else None]
        scores = score_weights(one, folder / "weights.safetensors", metrics)
        results.append(
            {
                "row": name,
                "parameters": record["parameters"],
                "steps": record["steps"],
                "minutes": round(record["seconds"] / 60, 1),
                **scores,
            }
        )
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(dict.fromkeys(k for r in results for k in r)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(results)
        atomic_write(out / "ablation.csv", buffer.getvalue())
        atomic_write(out / "ablation.md", to_markdown(results))
    click.echo(to_markdown(results), nl=False)


def _told(record: Mapping[str, Any], out: Path) -> None:
    scores = ", ".join(f"{k} {v:.4f}" for k, v in record["validation"].items())
    minutes = record["seconds"] / 60
    click.echo(f"{record['steps']} steps in {minutes:.1f} min{': ' + scores if scores else ''}")
    click.echo(f"weights {out / 'weights.safetensors'}")
