"""The loss terms of both stages, each a function of tensors, and their weighted sums.

Terms of the paper follow the supplement with its known defects mended: what is taken on masks is taken on
probabilities, so that it carries a gradient, and the adversarial term reaches the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.config import PARTS
from deocc_bench.models.content_net import ContentResult
from deocc_bench.models.mask_net import MaskLogits
from deocc_bench.models.training.config import LossConfig
from deocc_bench.models.training.perceptual import Features, correlation_matrix, gram

IGNORED = 255
# Pixels at 256 x 256 that a soft IoU or a part's mean colour is smoothed with: below that nothing can be said.
_SMOOTH = 16 / 256**2


@dataclass(frozen=True)
class MaskTarget:
    """What the mask stage learns from; float N x 1 x H x W in [0, 1] unless said otherwise.

    Args:
        image: float N x 3 x H x W in [-1, 1], as the network reads it.
        amodal, modal: true masks.
        known: 0 where the truth of the masks is not known (a bag that hides or is not part of the person).
        parsing: int64 N x H x W, LIP ids of the whole person, 255 ignored; None where the data has none.
    """

    image: Tensor
    amodal: Tensor
    modal: Tensor
    known: Tensor
    parsing: Tensor | None = None


@dataclass(frozen=True)
class ContentTarget:
    """What the content stage learns from, as the network sees pictures: in [-1, 1], dimmed outside the amodal mask.

    Args:
        picture: float N x 3 x H x W, the complete human over the occluded scene.
        amodal, modal: float N x 1 x H x W in {0, 1}.
        parsing: int64 N x H x W, LIP ids; None where the data has none.
    """

    picture: Tensor
    amodal: Tensor
    modal: Tensor
    parsing: Tensor | None = None

    @property
    def hole(self) -> Tensor:
        """float N x 1 x H x W: the invisible region."""
        return self.amodal * (1 - self.modal)


def mask_terms(
    logits: MaskLogits,
    target: MaskTarget,
    config: LossConfig,
    vgg: Features | None = None,
    adversary: nn.Module | None = None,
) -> dict[str, Tensor]:
    """The unweighted terms of stage 1 that have a weight over 0 and what they need, by name."""
    on = _wanted(config.weights)
    known = target.known
    amodal_margin, amodal = _foreground(logits.amodal)
    if config.union and logits.modal is not None:
        amodal_margin = torch.maximum(amodal_margin, _foreground(logits.modal)[0])
        amodal = torch.sigmoid(amodal_margin)
    weight = known * torch.where(target.modal > 0.5, config.visible_weight, 1.0)
    pairs = {"amodal": (amodal_margin, target.amodal, weight)}
    probabilities = {"amodal": amodal}
    if logits.modal is not None:
        modal_margin, probabilities["modal"] = _foreground(logits.modal)
        pairs["modal"] = (modal_margin, target.modal, known)
    terms: dict[str, Tensor] = {}
    for name, (margin, truth, where) in pairs.items():
        if name in on:
            terms[name] = _mean(F.binary_cross_entropy_with_logits(margin, truth, reduction="none"), where)
    if target.parsing is not None:
        hidden = target.parsing.masked_fill(target.modal[:, 0] <= 0.5, 0)
        for name, parts, labels in (
            ("parsing_modal", logits.parsing_modal, hidden),
            ("parsing_amodal", logits.parsing_amodal, target.parsing),
        ):
            if name in on and parts is not None:
                wanted = labels.masked_fill(known[:, 0] <= 0, IGNORED)
                # A network that works on patches gives its parsing once a patch.
                step = wanted.shape[-1] // parts.shape[-1]
                wanted = wanted[:, step // 2 :: step, step // 2 :: step]
                terms[name] = F.cross_entropy(parts.float(), wanted, ignore_index=IGNORED)
    if "l1" in on:
        truths = {"amodal": target.amodal, "modal": target.modal}
        terms["l1"] = torch.stack([_mean((p - truths[n]).abs(), known) for n, p in probabilities.items()]).sum()
    if "invisible_iou" in on:
        terms["invisible_iou"] = soft_iou_loss(amodal, target.amodal, known * (1 - target.modal))
    if "perceptual" in on and vgg is not None:
        terms["perceptual"] = perceptual_loss(vgg, amodal.expand(-1, 3, -1, -1), target.amodal.expand(-1, 3, -1, -1))
    if "adversarial" in on and adversary is not None:
        terms["adversarial"] = generator_loss(adversary(target.image, amodal))
    return terms


def mask_adversary_loss(adversary: nn.Module, logits: MaskLogits, target: MaskTarget) -> Tensor:
    """What `D_m` learns from: true amodal masks against the network's probabilities (detached)."""
    fake = _foreground(logits.amodal)[1].detach()
    return adversary_loss(adversary(target.image, target.amodal), adversary(target.image, fake))


def content_terms(
    result: ContentResult,
    target: ContentTarget,
    config: LossConfig,
    vgg: Features | None = None,
    adversary: nn.Module | None = None,
) -> dict[str, Tensor]:
    """The unweighted terms of stage 2 that have a weight over 0 and what they need, by name."""
    on = _wanted(config.weights)
    image, composite, hole = result.image.float(), result.composite.float(), target.hole
    terms: dict[str, Tensor] = {}
    if "l1" in on:
        terms["l1"] = F.l1_loss(image, target.picture) + config.composite * F.l1_loss(composite, target.picture)
    if "hole_l1" in on:
        terms["hole_l1"] = _mean((image - target.picture).abs().mean(dim=1, keepdim=True), hole)
    if "hole_ssim" in on:
        terms["hole_ssim"] = 1 - _mean(ssim_map(composite, target.picture), hole)
    if "part_colour" in on and target.parsing is not None:
        terms["part_colour"] = part_colour_loss(image, target.picture, target.parsing, hole)
    if vgg is not None and {"style", "correlation"} & on.keys():
        truth = vgg(target.picture)
        drawn, joined = vgg(image), vgg(composite)
        if "style" in on:
            terms["style"] = style_loss(drawn, truth) + config.composite * style_loss(joined, truth)
        if "correlation" in on:
            terms["correlation"] = correlation_loss(drawn, truth) + config.composite * correlation_loss(joined, truth)
    if "adversarial" in on and adversary is not None:
        terms["adversarial"] = generator_loss(adversary(composite * target.amodal, hole))
    return terms


def content_adversary_loss(adversary: nn.Module, result: ContentResult, target: ContentTarget) -> Tensor:
    """What `D_c` learns from: true humans against composites (detached)."""
    fake = result.composite.float().detach() * target.amodal
    return adversary_loss(adversary(target.picture * target.amodal, target.hole), adversary(fake, target.hole))


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the terms."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def needs_vgg(weights: Mapping[str, float]) -> list[str]:
    """The terms with a weight that VGG-16 is needed for."""
    return [n for n in ("perceptual", "correlation", "style") if weights.get(n, 0) > 0]


def soft_iou_loss(probability: Tensor, truth: Tensor, where: Tensor) -> Tensor:
    """1 - soft IoU in the region `where`, mean over samples that have something there; all N x 1 x H x W."""
    p, t = probability * where, truth * where
    inter = (p * t).sum(dim=(1, 2, 3))
    union = (p + t).sum(dim=(1, 2, 3)) - inter
    smooth = _SMOOTH * probability.shape[-1] * probability.shape[-2]
    return (1 - (inter + smooth) / (union + smooth)).mean()


def perceptual_loss(vgg: Features, picture: Tensor, truth: Tensor) -> Tensor:
    """L1 between VGG-16 features (pool1..3), summed over the layers."""
    pairs = zip(vgg(picture), vgg(truth), strict=True)
    return torch.stack([F.l1_loss(a, b) for a, b in pairs]).sum()


def style_loss(drawn: list[Tensor], truth: list[Tensor]) -> Tensor:
    """L1 between the channel Gram matrices of pool1..3, summed over the layers."""
    return torch.stack([F.l1_loss(gram(a), gram(b)) for a, b in zip(drawn, truth, strict=True)]).sum()


def correlation_loss(drawn: list[Tensor], truth: list[Tensor]) -> Tensor:
    """L1 between the spatial (HW x HW) Gram matrices of pool2."""
    return F.l1_loss(correlation_matrix(drawn[1]), correlation_matrix(truth[1]))


def generator_loss(judged_fake: Tensor) -> Tensor:
    """Non-saturating: the network wants its work to be judged true."""
    return F.binary_cross_entropy_with_logits(judged_fake.float(), torch.ones_like(judged_fake, dtype=torch.float32))


def adversary_loss(judged_true: Tensor, judged_fake: Tensor) -> Tensor:
    """Mean of the two BCE-with-logits halves."""
    true, fake = judged_true.float(), judged_fake.float()
    on_true = F.binary_cross_entropy_with_logits(true, torch.ones_like(true))
    on_fake = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return 0.5 * (on_true + on_fake)


def part_colour_loss(image: Tensor, truth: Tensor, parsing: Tensor, hole: Tensor) -> Tensor:
    """L1 between the mean colours of each body part's hidden pixels, mean over the parts that have enough of them.

    Pictures N x 3 x H x W, parsing int64 N x H x W, hole N x 1 x H x W.
    """
    labels = parsing.masked_fill((parsing > PARTS) | (hole[:, 0] <= 0), 0).flatten(1)
    difference = ((image - truth) * hole).flatten(2)
    count = difference.new_zeros(len(labels), PARTS + 1)
    count.scatter_add_(1, labels, hole.flatten(1).to(count.dtype))
    sums = difference.new_zeros(len(labels), 3, PARTS + 1)
    sums = sums.scatter_add(2, labels[:, None].expand(-1, 3, -1), difference)
    enough = count >= max(1.0, _SMOOTH * image.shape[-1] * image.shape[-2])
    enough[:, 0] = False
    means = sums / count.clamp(min=1)[:, None]
    return _mean(means.abs().mean(dim=1), enough.to(means.dtype))


def ssim_map(first: Tensor, second: Tensor) -> Tensor:
    """SSIM per pixel, mean over the channels: N x 3 x H x W in [-1, 1] -> N x 1 x H x W. Gaussian 11, sigma 1.5."""
    offsets = torch.arange(-5, 6, dtype=first.dtype, device=first.device)
    line = torch.exp(-0.5 * (offsets / 1.5) ** 2)
    line = line / line.sum()

    def blur(x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = F.pad(x, (5, 5, 5, 5), mode="replicate")
        x = F.conv2d(x, line.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
        return F.conv2d(x, line.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)

    n = first.shape[1]
    # The range of the pictures is 2, so the constants are four times those of [0, 1].
    c1, c2 = 4 * 0.01**2, 4 * 0.03**2
    # One pass over five stacked maps. SSIM's means are of non-negative brightness: shifted by 1.
    x, y = first + 1, second + 1
    mx, my, xx, yy, xy = blur(torch.cat([x, y, x * x, y * y, x * y], dim=1)).split(n, dim=1)
    spread = (xx - mx * mx) + (yy - my * my)
    top = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    return (top / ((mx * mx + my * my + c1) * (spread + c2))).mean(dim=1, keepdim=True)


def _foreground(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Two logits N x 2 x H x W -> their margin and the foreground's probability, float32 N x 1 x H x W.

    The cross-entropy of two classes is the binary one of the margin, at half the work.
    """
    margin = (logits[:, 1:2] - logits[:, 0:1]).float()
    return margin, torch.sigmoid(margin)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)


def _wanted(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if weight > 0}
