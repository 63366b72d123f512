"""The loss terms of stage 2, content recovery: one function per term, and the table `CONTENT_TERMS`.

The paper's terms follow its supplement, but the adversarial term reaches the generator here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.config import PARTS
from deocc_bench.models.content_net import ContentResult
from deocc_bench.models.training.config import LossConfig
from deocc_bench.models.training.losses import SMOOTH, adversary_loss, generator_loss, weighted_mean
from deocc_bench.models.training.perceptual import Features, correlation_matrix, gram
from deocc_bench.models.training.terms import Term, met_needs


@dataclass(frozen=True)
class ContentTarget:
    """Ground truth of the content stage.

    Args:
        picture: float N x 3 x H x W in [-1, 1], the complete human over the occluded scene, dimmed outside the amodal
            mask like the network's input.
        amodal, modal: float N x 1 x H x W in {0, 1}.
        parsing: int64 N x H x W, LIP ids; None if the data has none.
    """

    picture: Tensor
    amodal: Tensor
    modal: Tensor
    parsing: Tensor | None = None

    @property
    def hole(self) -> Tensor:
        """float N x 1 x H x W: the invisible region."""
        return self.amodal * (1 - self.modal)


@dataclass(frozen=True)
class PictureFeatures:
    """VGG-16 features (pool1..3) of the three images that are compared."""

    truth: list[Tensor]
    drawn: list[Tensor]
    composite: list[Tensor]


class ContentComparison:
    """The images of the content network and their ground truth.

    Args:
        result: output of the network.
        target: ground truth.
        config: loss settings, of which the terms read `composite`.
        vgg: VGG-16, for the terms on features.
        adversary: `D_c`, for the adversarial term.

    `image` (the network's own image) and `composite` are float32 N x 3 x H x W, `hole` float N x 1 x H x W.
    """

    def __init__(
        self,
        result: ContentResult,
        target: ContentTarget,
        config: LossConfig,
        vgg: Features | None = None,
        adversary: nn.Module | None = None,
    ) -> None:
        self.target, self.config, self.vgg, self.adversary = target, config, vgg, adversary
        self.image, self.composite, self.hole = result.image.float(), result.composite.float(), target.hole

    @property
    def available(self) -> set[str]:
        """See `Comparison.available`."""
        return met_needs(parsing=self.target.parsing, vgg=self.vgg, adversary=self.adversary)

    @cached_property
    def features(self) -> PictureFeatures:
        """The VGG-16 features, computed once for all terms that use them."""
        assert self.vgg is not None
        return PictureFeatures(self.vgg(self.target.picture), self.vgg(self.image), self.vgg(self.composite))


def _l1(c: ContentComparison) -> Tensor:
    truth = c.target.picture
    return F.l1_loss(c.image, truth) + c.config.composite * F.l1_loss(c.composite, truth)


def _hole_l1(c: ContentComparison) -> Tensor:
    return weighted_mean((c.image - c.target.picture).abs().mean(dim=1, keepdim=True), c.hole)


def _hole_ssim(c: ContentComparison) -> Tensor:
    return 1 - weighted_mean(ssim_map(c.composite, c.target.picture), c.hole)


def _part_colour(c: ContentComparison) -> Tensor:
    assert c.target.parsing is not None
    return part_colour_loss(c.image, c.target.picture, c.target.parsing, c.hole)


def _style(c: ContentComparison) -> Tensor:
    f = c.features
    return style_loss(f.drawn, f.truth) + c.config.composite * style_loss(f.composite, f.truth)


def _correlation(c: ContentComparison) -> Tensor:
    f = c.features
    return correlation_loss(f.drawn, f.truth) + c.config.composite * correlation_loss(f.composite, f.truth)


def _adversarial(c: ContentComparison) -> Tensor:
    assert c.adversary is not None
    return generator_loss(c.adversary(c.composite * c.target.amodal, c.hole))


# The order of the rows is the order of summation, which affects the last bit of the sum.
CONTENT_TERMS: tuple[Term[ContentComparison], ...] = (
    Term("l1", _l1, "L1 of the image plus `loss.composite` times the L1 of the composite", {"paper": 2.0}),
    Term("hole_l1", _hole_l1, "L1 on the invisible region (own)", {"quick": 1.0}),
    Term("hole_ssim", _hole_ssim, "1 - SSIM on the invisible region (own)", {"quick": 0.7}),
    Term(
        "part_colour",
        _part_colour,
        "L1 of the mean colour of each hidden body part (own)",
        {"quick": 0.5},
        needs=("parsing",),
    ),
    Term("style", _style, "L1 of the channel Gram matrices of VGG-16 features", {"paper": 40.0}, needs=("vgg",)),
    Term(
        "correlation",
        _correlation,
        "L1 of the spatial Gram matrices of VGG-16 features",
        {"paper": 1.0},
        needs=("vgg",),
    ),
    Term(
        "adversarial",
        _adversarial,
        "non-saturating loss against the adversary `D_c`",
        {"paper": 1.0},
        needs=("adversary",),
    ),
)


def content_adversary_loss(adversary: nn.Module, composite: Tensor, target: ContentTarget) -> Tensor:
    """Loss of `D_c`: true humans against composites (detached)."""
    fake = composite.detach() * target.amodal
    return adversary_loss(adversary(target.picture * target.amodal, target.hole), adversary(fake, target.hole))


def style_loss(drawn: list[Tensor], truth: list[Tensor]) -> Tensor:
    """L1 between the channel Gram matrices of pool1..3, summed over the layers."""
    return torch.stack([F.l1_loss(gram(a), gram(b)) for a, b in zip(drawn, truth, strict=True)]).sum()


def correlation_loss(drawn: list[Tensor], truth: list[Tensor]) -> Tensor:
    """L1 between the spatial (HW x HW) Gram matrices of pool2."""
    return F.l1_loss(correlation_matrix(drawn[1]), correlation_matrix(truth[1]))


def part_colour_loss(image: Tensor, truth: Tensor, parsing: Tensor, hole: Tensor) -> Tensor:
    """L1 between the mean colours of the hidden pixels of each body part, averaged over parts with enough such pixels.

    Args:
        image, truth: float N x 3 x H x W.
        parsing: int64 N x H x W.
        hole: float N x 1 x H x W.
    """
    labels = parsing.masked_fill((parsing > PARTS) | (hole[:, 0] <= 0), 0).flatten(1)
    difference = ((image - truth) * hole).flatten(2)
    count = difference.new_zeros(len(labels), PARTS + 1)
    count.scatter_add_(1, labels, hole.flatten(1).to(count.dtype))
    sums = difference.new_zeros(len(labels), 3, PARTS + 1)
    sums = sums.scatter_add(2, labels[:, None].expand(-1, 3, -1), difference)
    enough = count >= max(1.0, SMOOTH * image.shape[-1] * image.shape[-2])
    enough[:, 0] = False
    means = sums / count.clamp(min=1)[:, None]
    return weighted_mean(means.abs().mean(dim=1), enough.to(means.dtype))


def ssim_map(first: Tensor, second: Tensor) -> Tensor:
    """Per-pixel SSIM, averaged over the channels: N x 3 x H x W in [-1, 1] -> N x 1 x H x W. Gaussian 11, sigma 1.5."""
    offsets = torch.arange(-5, 6, dtype=first.dtype, device=first.device)
    line = torch.exp(-0.5 * (offsets / 1.5) ** 2)
    line = line / line.sum()

    def blur(x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = F.pad(x, (5, 5, 5, 5), mode="replicate")
        x = F.conv2d(x, line.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
        return F.conv2d(x, line.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)

    n = first.shape[1]
    # The value range is 2, so the constants are four times those for [0, 1].
    c1, c2 = 4 * 0.01**2, 4 * 0.03**2
    # One pass over five stacked maps. SSIM assumes non-negative brightness, so the values are shifted by 1.
    x, y = first + 1, second + 1
    mx, my, xx, yy, xy = blur(torch.cat([x, y, x * x, y * y, x * y], dim=1)).split(n, dim=1)
    spread = (xx - mx * mx) + (yy - my * my)
    top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    return (top / ((mx * mx + my * my + c1) * (spread + c2))).mean(dim=1, keepdim=True)
