"""The loss terms of stage 1, mask completion: one function per term, and the table `MASK_TERMS`.

The paper's terms follow its supplement, with two known defects corrected: terms on masks use probabilities, so that
they have a gradient, and the adversarial term reaches the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.mask_net import MaskLogits
from deocc_bench.models.training.config import LossConfig
from deocc_bench.models.training.losses import SMOOTH, adversary_loss, generator_loss, weighted_mean
from deocc_bench.models.training.perceptual import Features
from deocc_bench.models.training.terms import Term, met_needs

# The label of pixels without ground truth for the parsing.
IGNORED = 255


@dataclass(frozen=True)
class MaskTarget:
    """Ground truth of the mask stage.

    Args:
        image: float N x 3 x H x W in [-1, 1], the network's input.
        amodal, modal: true masks, float N x 1 x H x W in [0, 1].
        known: float N x 1 x H x W in {0, 1}; 0 where the masks have no ground truth (regions occluded by bags).
        parsing: int64 N x H x W, LIP ids of the whole person, 255 is ignored; None if the data has none.
    """

    image: Tensor
    amodal: Tensor
    modal: Tensor
    known: Tensor
    parsing: Tensor | None = None


class MaskComparison:
    """The logits of the mask network and their ground truth.

    Args:
        logits: output of the network.
        target: ground truth.
        config: loss settings, of which the terms read `visible_weight` and `union`.
        vgg: VGG-16, for the perceptual term.
        adversary: `D_m`, for the adversarial term.

    `amodal` and `modal` are probabilities, float32 N x 1 x H x W; `amodal_margin` and `modal_margin` are the
    differences of the corresponding two logits. Those of the modal mask are None for a network without modal output.
    """

    def __init__(
        self,
        logits: MaskLogits,
        target: MaskTarget,
        config: LossConfig,
        vgg: Features | None = None,
        adversary: nn.Module | None = None,
    ) -> None:
        self.logits, self.target, self.config, self.vgg, self.adversary = logits, target, config, vgg, adversary
        self.modal_margin: Tensor | None = None
        self.modal: Tensor | None = None
        self.amodal_margin, self.amodal = foreground(logits.amodal)
        if config.union and logits.modal is not None:
            self.amodal_margin = torch.maximum(self.amodal_margin, foreground(logits.modal)[0])
            self.amodal = torch.sigmoid(self.amodal_margin)
        if logits.modal is not None:
            self.modal_margin, self.modal = foreground(logits.modal)

    @property
    def available(self) -> set[str]:
        """See `Comparison.available`."""
        return met_needs(parsing=self.target.parsing, vgg=self.vgg, adversary=self.adversary)


def foreground(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Convert two logits N x 2 x H x W to their margin and the foreground probability, float32 N x 1 x H x W.

    The cross-entropy of two classes equals the binary cross-entropy of the margin, which needs half the work.
    """
    margin = (logits[:, 1:2] - logits[:, 0:1]).float()
    return margin, torch.sigmoid(margin)


def _amodal(c: MaskComparison) -> Tensor:
    weight = c.target.known * torch.where(c.target.modal > 0.5, c.config.visible_weight, 1.0)
    return _cross_entropy(c.amodal_margin, c.target.amodal, weight)


def _modal(c: MaskComparison) -> Tensor | None:
    return None if c.modal_margin is None else _cross_entropy(c.modal_margin, c.target.modal, c.target.known)


def _parsing_modal(c: MaskComparison) -> Tensor | None:
    assert c.target.parsing is not None
    return _parsing(c, c.logits.parsing_modal, c.target.parsing.masked_fill(c.target.modal[:, 0] <= 0.5, 0))


def _parsing_amodal(c: MaskComparison) -> Tensor | None:
    assert c.target.parsing is not None
    return _parsing(c, c.logits.parsing_amodal, c.target.parsing)


def _l1(c: MaskComparison) -> Tensor:
    pairs = [(c.amodal, c.target.amodal)]
    if c.modal is not None:
        pairs.append((c.modal, c.target.modal))
    return torch.stack([weighted_mean((p - truth).abs(), c.target.known) for p, truth in pairs]).sum()


def _invisible_iou(c: MaskComparison) -> Tensor:
    return soft_iou_loss(c.amodal, c.target.amodal, c.target.known * (1 - c.target.modal))


def _perceptual(c: MaskComparison) -> Tensor:
    assert c.vgg is not None
    return perceptual_loss(c.vgg, c.amodal.expand(-1, 3, -1, -1), c.target.amodal.expand(-1, 3, -1, -1))


def _adversarial(c: MaskComparison) -> Tensor:
    assert c.adversary is not None
    return generator_loss(c.adversary(c.target.image, c.amodal))


# The order of the rows is the order of summation, which affects the last bit of the sum.
MASK_TERMS: tuple[Term[MaskComparison], ...] = (
    Term("amodal", _amodal, "cross-entropy of the amodal mask", {"paper": 0.5, "quick": 1.0}),
    Term("modal", _modal, "cross-entropy of the modal mask", {"paper": 0.5, "quick": 1.0}),
    Term(
        "parsing_modal",
        _parsing_modal,
        "cross-entropy of the modal parsing, 20 classes",
        {"paper": 0.1, "quick": 0.1},
        needs=("parsing",),
    ),
    Term(
        "parsing_amodal",
        _parsing_amodal,
        "cross-entropy of the amodal parsing, 20 classes",
        {"paper": 0.1, "quick": 0.1},
        needs=("parsing",),
    ),
    Term("l1", _l1, "L1 of the probabilities of both masks", {"paper": 0.1}),
    Term("invisible_iou", _invisible_iou, "1 - soft IoU outside the modal mask (own)", {"quick": 0.5}),
    Term("perceptual", _perceptual, "L1 of VGG-16 features of the amodal mask", {"paper": 0.1}, needs=("vgg",)),
    Term(
        "adversarial",
        _adversarial,
        "non-saturating loss against the adversary `D_m`",
        {"paper": 1.0},
        needs=("adversary",),
    ),
)


def mask_adversary_loss(adversary: nn.Module, logits: MaskLogits, target: MaskTarget) -> Tensor:
    """Loss of `D_m`: true amodal masks against the network's probabilities (detached)."""
    fake = foreground(logits.amodal)[1].detach()
    return adversary_loss(adversary(target.image, target.amodal), adversary(target.image, fake))


def soft_iou_loss(probability: Tensor, truth: Tensor, where: Tensor) -> Tensor:
    """1 - soft IoU within the region `where`, averaged over the samples; all arguments are N x 1 x H x W."""
    p, t = probability * where, truth * where
    inter = (p * t).sum(dim=(1, 2, 3))
    union = (p + t).sum(dim=(1, 2, 3)) - inter
    smooth = SMOOTH * probability.shape[-1] * probability.shape[-2]
    return (1 - (inter + smooth) / (union + smooth)).mean()


def perceptual_loss(vgg: Features, picture: Tensor, truth: Tensor) -> Tensor:
    """L1 between VGG-16 features (pool1..3), summed over the layers."""
    pairs = zip(vgg(picture), vgg(truth), strict=True)
    return torch.stack([F.l1_loss(a, b) for a, b in pairs]).sum()


def _cross_entropy(margin: Tensor, truth: Tensor, where: Tensor) -> Tensor:
    return weighted_mean(F.binary_cross_entropy_with_logits(margin, truth, reduction="none"), where)


def _parsing(c: MaskComparison, logits: Tensor | None, labels: Tensor) -> Tensor | None:
    if logits is None:
        return None
    wanted = labels.masked_fill(c.target.known[:, 0] <= 0, IGNORED)
    # A network that works on patches predicts one parsing label per patch.
    step = wanted.shape[-1] // logits.shape[-1]
    wanted = wanted[:, step // 2 :: step, step // 2 :: step]
    return F.cross_entropy(logits.float(), wanted, ignore_index=IGNORED)
