"""Shapes of the two networks as data: configurations, the ablation switches and the named presets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown

PARTS = 19
"""Foreground classes of the LIP label space (``Cp``); the parsing heads have one class more, the background."""

TEMPLATE_SIDE = 32
"""Side in pixels of a template mask."""

BACKGROUND_DIM = 0.3
"""What stage 2 multiplies the RGB outside the amodal mask with, in its input and its target."""

MULTIPLE = 128
"""Stage 2 halves seven times, stage 1 four times: images are brought to a multiple of this many pixels."""

PgaStreams = Literal["both", "body", "mutual", "none"]


@dataclass(frozen=True)
class MaskConfig:
    """The refined mask completion network. The defaults are the paper's (27,002,972 parameters).

    Switches: ``branches=False`` is the two bare hourglasses (no parsing heads, auxiliary features, templates),
    ``templates=False`` leaves the template masks out, ``refinement=False`` the first hourglass and with it the modal
    outputs: the amodal stage then reads the initial mask.

    Not in the paper, for small networks: with ``patch`` p the hourglasses work at 1/p of the resolution, on patches of
    p x p pixels as channels, and the mask heads give p x p logits each; ``refinement_width`` is the first hourglass's
    width where it differs from the second's.
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
        """Templates are part of the amodal branch: without branches there are none."""
        return self.branches and self.templates


@dataclass(frozen=True)
class ContentConfig:
    """The parsing guided content recovery network; the defaults are the paper's, as listing 1 has them.

    ``fuse_kernel`` is the kernel of the two fusing convolutions of a PGA block: 1 in listing 1 (35,782,306 parameters),
    3 in the published definitions (55,608,994). ``pga`` keeps both attention streams, one, or none (25,786,122).
    ``window_mean`` divides a partial convolution by the *mean* of its mask window, as Liu et al. do, instead of the sum
    of the published definitions; the two differ by a constant per layer, which batch normalisation takes out
    everywhere but in the first and the last layer. With ``colour_prior`` the network paints what is to be added to the
    colour that a body part probably has (`ColourPrior`; own).
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
    """How networks are trained unless told otherwise.

    Args:
        name: which weights of the loss terms are taken: each term has one by recipe.
        mask, content: settings of either stage that differ from those of `TrainConfig`, by their dotted name as in
            `--set`; also `loss.weights.TERM`, for a preset that weighs its terms otherwise.
    """

    name: str
    mask: Mapping[str, float] = field(default_factory=dict)
    content: Mapping[str, float] = field(default_factory=dict)

    def settings(self, stage: str) -> Mapping[str, float]:
        """Of the stage "mask" or "content"."""
        return {"mask": self.mask, "content": self.content}[stage]


PAPER = Recipe("paper", mask={"optim.lr": 1e-3}, content={"optim.lr": 2e-4})
"""The paper's losses, after its supplement."""

QUICK = Recipe(
    "quick",
    mask={"loss.visible_weight": 0.3, "optim.lr": 2e-3, "optim.weight_decay": 0.02, "data.reuse": 3},
    content={"optim.lr": 2e-3, "optim.weight_decay": 0.01, "optim.batch": 8, "data.reuse": 3},
)
"""What small networks were found to learn best with in little time: no adversary, nothing that needs VGG-16, and terms
on the invisible region, which is what is measured."""


@dataclass(frozen=True)
class Preset:
    """A named pair of networks and how they are trained; a new preset is one more row below."""

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
"""The preset of shipped weights, and what is trained unless told otherwise."""


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UsageError: there is none; says which was probably meant.
    """
    if name not in PRESETS:
        raise UsageError(unknown("preset", name, PRESETS))
    return PRESETS[name]


def differences(wanted: Any, found: dict[str, Any]) -> list[str]:
    """Where a stored configuration differs from a dataclass: one ``field: 64 here, 32 in the file`` per field."""
    here = dataclasses.asdict(wanted)
    return [
        f"{name}: {here.get(name)!r} here, {found.get(name)!r} in the file"
        for name in sorted(set(here) | set(found))
        if here.get(name) != found.get(name)
    ]
