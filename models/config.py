"""Configurations of the two networks: sizes, ablation switches, training recipes and named presets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown

PARTS = 19
"""Foreground classes of the LIP label space (``Cp``); the parsing heads have one more class, the background."""

TEMPLATE_SIDE = 32
"""Side in pixels of a template mask."""

BACKGROUND_DIM = 0.3
"""Factor by which stage 2 multiplies the RGB values outside the amodal mask, in its input and its target."""

MULTIPLE = 128
"""Stage 2 halves its input seven times and stage 1 four times, so image sides are padded to a multiple of this."""

PgaStreams = Literal["both", "body", "mutual", "none"]


@dataclass(frozen=True)
class MaskConfig:
    """The refined mask completion network. The defaults are the paper's (27,002,972 parameters).

    Switches: ``branches=False`` keeps only the two hourglasses (no parsing heads, auxiliary features or templates).
    ``templates=False`` removes the template masks. ``refinement=False`` removes the first hourglass and with it the
    modal outputs: the amodal stage then reads the initial mask.

    Two settings for small networks are not in the paper. With ``patch`` p, the hourglasses work at 1/p of the
    resolution, on patches of p x p pixels as channels, and each mask head predicts p x p logits per position.
    ``refinement_width`` is the width of the first hourglass if it differs from that of the second.
    """

    width: int = 64
    refinement_width: int | None = None
    patch: int = 1
    branch_width: int = 32
    modal_width: int = 16
    amodal_width: int = 32
    template_width: int = 32
    template_count: int = 64
    branches: bool = True
    templates: bool = True
    refinement: bool = True
    align_templates: bool = False
    template_temperature: float | None = None
    size: int = 256

    @property
    def with_templates(self) -> bool:
        """Whether templates are used; they are part of the amodal branch, so they need `branches`."""
        return self.branches and self.templates


@dataclass(frozen=True)
class ContentConfig:
    """The parsing guided content recovery network. The defaults follow listing 1 of the paper.

    ``fuse_kernel`` is the kernel size of the two fusing convolutions of a PGA block: 1 in listing 1 (35,782,306
    parameters), 3 in the published definitions (55,608,994). ``pga`` keeps both attention streams, one, or none
    (25,786,122). ``window_mean`` divides a partial convolution by the *mean* of its mask window, as Liu et al. do,
    instead of the sum of the published definitions. The two differ by a constant per layer, which batch normalisation
    removes in all layers but the first and the last. With ``colour_prior``, the network predicts a residual to the
    probable colour of each body part (`ColourPrior`; own).
    """

    width: int = 64
    pga: PgaStreams = "both"
    fuse_kernel: int = 1
    se_reduction: int = 8
    window_mean: bool = False
    colour_prior: bool = False
    size: int = 256


@dataclass(frozen=True)
class Recipe:
    """The default training settings of a network.

    Args:
        name: selects the weights of the loss terms; each term has one weight per recipe.
        mask, content: settings of a stage that differ from the defaults of `TrainConfig`, by dotted name as in `--set`;
            `loss.weights.TERM` overrides the weight of a term.
    """

    name: str
    mask: Mapping[str, float] = field(default_factory=dict)
    content: Mapping[str, float] = field(default_factory=dict)

    def settings(self, stage: str) -> Mapping[str, float]:
        """The settings of the stage "mask" or "content"."""
        return {"mask": self.mask, "content": self.content}[stage]


PAPER = Recipe("paper", mask={"optim.lr": 1e-3}, content={"optim.lr": 2e-4})
"""The paper's losses, from its supplement."""

QUICK = Recipe(
    "quick",
    mask={"loss.visible_weight": 0.3, "optim.lr": 2e-3, "optim.weight_decay": 0.02, "data.reuse": 3},
    content={"optim.lr": 2e-3, "optim.weight_decay": 0.01, "optim.batch": 8, "data.reuse": 3},
)
"""The recipe that worked best for small networks and short training: no adversary, no term that needs VGG-16, and terms
on the invisible region, which the metrics measure."""


@dataclass(frozen=True)
class Preset:
    """A named pair of networks and their training recipe. To add a preset, add a row to `PRESETS`."""

    name: str
    mask: MaskConfig = field(default_factory=MaskConfig)
    content: ContentConfig = field(default_factory=ContentConfig)
    recipe: Recipe = PAPER


PRESETS: dict[str, Preset] = {
    row.name: row
    for row in (
        Preset("paper"),
        Preset(
            "small",
            MaskConfig(width=32, branch_width=24, modal_width=16, amodal_width=24, template_width=16),
            ContentConfig(width=32, window_mean=True),
        ),
        Preset(
            "tiny",
            MaskConfig(
                width=24,
                refinement_width=16,
                patch=2,
                branch_width=16,
                modal_width=8,
                amodal_width=16,
                template_width=8,
                template_count=32,
                align_templates=True,
                template_temperature=20.0,
                size=128,
            ),
            ContentConfig(width=16, window_mean=True, colour_prior=True, size=128),
            QUICK,
        ),
    )
}

DEFAULT_PRESET = "tiny"
"""The preset of the included weights, and the default preset of `train`."""


def preset(name: str) -> Preset:
    """Return the preset with this name.

    Raises:
        UsageError: unknown name; the message suggests the nearest one.
    """
    if name not in PRESETS:
        raise UsageError(unknown("preset", name, PRESETS))
    return PRESETS[name]


def differences(wanted: Any, found: dict[str, Any]) -> list[str]:
    """List the differences between a dataclass and a stored configuration, as ``field: 64 here, 32 in the file``."""
    here = dataclasses.asdict(wanted)
    return [
        f"{name}: {here.get(name)!r} here, {found.get(name)!r} in the file"
        for name in sorted(set(here) | set(found))
        if here.get(name) != found.get(name)
    ]
