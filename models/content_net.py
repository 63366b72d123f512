"""Stage 2: the parsing guided content recovery network, a partial convolution U-Net with four PGA blocks."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.colour_prior import ColourPrior
from deocc_bench.models.config import BACKGROUND_DIM, ContentConfig
from deocc_bench.models.partial_conv import PartialConv, Window, window_sums
from deocc_bench.models.pga import ParsingGuidedAttention

KERNELS = (7, 5, 5, 3, 3, 3, 3)
"""Kernel sizes of the seven encoder levels."""

INPUTS = 5
"""Input channels of stage 2: erased RGB, visibility, amodal mask."""


@dataclass
class ContentResult:
    """The output of stage 2, float N x 3 x H x W in [-1, 1], dimmed outside the amodal mask like its input."""

    image: Tensor
    """The raw output of the network at all pixels."""
    composite: Tensor
    """The input in the visible region, the network's output in the invisible region."""


@dataclass
class MaskPyramid:
    """The masks of all partial convolutions; they depend only on the visibility."""

    encoder: list[Window]
    decoder: list[Window]
    masks: list[Tensor]
    """Masks of the encoder's input and of its seven outputs, float N x 1 x h x w."""
    ups: list[Tensor]
    """Per decoder level, deepest first: the mask of the deeper feature, at its lower resolution."""


def content_input(image: Tensor, modal: Tensor, amodal: Tensor) -> tuple[Tensor, Tensor]:
    """The input of stage 2: (RGB dimmed outside the amodal mask and erased where invisible, visibility ``M_v``).

    `image` float N x 3 x H x W in [-1, 1]; masks float N x 1 x H x W in {0, 1}.
    """
    visible = 1.0 - amodal * (1.0 - modal)
    return dim_background(image, amodal) * visible, visible


def dim_background(image: Tensor, amodal: Tensor) -> Tensor:
    """Multiply RGB outside the amodal mask by 0.3, as in the input and target of stage 2."""
    return image * (BACKGROUND_DIM + (1.0 - BACKGROUND_DIM) * amodal)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class ContentNet(nn.Module):
    """Seven partial convolution levels down, seven up; PGA after encoder 3 and 5 and decoder 5 and 3.

    ``forward(erased, visible, amodal, modal_parsing, amodal_parsing)``: see `content_input` for the first two; amodal
    mask float N x 1 x H x W; parsings as labels N x H x W (0..19) or one-hot N x 19 x H x W; H and W multiples of 128.
    """

    def __init__(self, config: ContentConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ContentConfig()
        w = config.width
        self.widths = (w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w, 8 * w)
        below = (INPUTS, *self.widths)
        self.encoder = nn.ModuleList(
            PartialConv(below[i], below[i + 1], kernel, stride=2) for i, kernel in enumerate(KERNELS)
        )
        self.encoder_norm = nn.ModuleList(nn.BatchNorm2d(width) for width in self.widths[1:])
        outputs = (*self.widths[-2::-1], 3)
        self.sources = tuple(zip((self.widths[-1], *outputs[:-1]), below[-2::-1], strict=True))
        self.decoder = nn.ModuleList(
            PartialConv(sum(sources), out, 3, bias=out == 3) for sources, out in zip(self.sources, outputs, strict=True)
        )
        self.decoder_norm = nn.ModuleList(nn.BatchNorm2d(width) for width in outputs[:-1])
        if config.colour_prior:
            self.prior = ColourPrior()
            # The initial output is the prior itself.
            nn.init.zeros_(self.decoder[-1].get_parameter("weight"))
        self.attention = nn.ModuleDict()
        if config.pga != "none":
            for name, channels in (
                ("encoder3", self.widths[2]),
                ("encoder5", self.widths[4]),
                ("decoder5", outputs[2]),
                ("decoder3", outputs[4]),
            ):
                self.attention[name] = ParsingGuidedAttention(
                    channels, config.fuse_kernel, config.se_reduction, config.pga
                )

    def pyramid(self, visible: Tensor) -> MaskPyramid:
        """All mask windows for a visibility (float N x 1 x H x W); compute it once if the mask does not change."""
        mean, below = self.config.window_mean, (INPUTS, *self.widths)
        masks, encoder, decoder, ups = [visible.float()], [], [], []
        for i, kernel in enumerate(KERNELS):
            encoder.append(window_sums(masks[-1], (below[i],), kernel, 2, mean))
            masks.append(encoder[-1].valid)
        from_below = masks[-1]
        for level, sources in enumerate(self.sources):
            ups.append(from_below)
            both = torch.cat([_up(from_below), masks[-2 - level]], dim=1)
            decoder.append(window_sums(both, sources, 3, 1, mean))
            from_below = decoder[-1].valid
        return MaskPyramid(encoder, decoder, masks, ups)

    def forward(
        self,
        erased: Tensor,
        visible: Tensor,
        amodal: Tensor,
        modal_parsing: Tensor,
        amodal_parsing: Tensor,
        *,
        pyramid: MaskPyramid | None = None,
    ) -> ContentResult:
        """Return the network's output and its composite with the visible input."""
        pyramid = pyramid or self.pyramid(visible)
        x = torch.cat([erased, visible, amodal], dim=1)
        features = [x]
        for level in range(7):
            x = self.encoder[level](x * pyramid.masks[level].to(x.dtype), pyramid.encoder[level])
            x = F.relu(self.encoder_norm[level - 1](x) if level else x)
            x = self._attend(f"encoder{level + 1}", x, modal_parsing, amodal_parsing)
            features.append(x)
        for level in range(7):
            skip = features[-2 - level] * pyramid.masks[-2 - level].to(x.dtype)
            x = torch.cat([_up(x * pyramid.ups[level].to(x.dtype)), skip], dim=1)
            x = self.decoder[level](x, pyramid.decoder[level])
            if level < 6:
                x = F.leaky_relu(self.decoder_norm[level](x), 0.2)
                x = self._attend(f"decoder{7 - level}", x, modal_parsing, amodal_parsing)
        if self.config.colour_prior:
            x = x + self.prior(erased, visible, modal_parsing, amodal_parsing)
        image = x.clamp(-1.0, 1.0)
        return ContentResult(image, erased * visible + image * (1.0 - visible))

    def _attend(self, place: str, x: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor) -> Tensor:
        if place in self.attention:
            return self.attention[place](x, modal_parsing, amodal_parsing)
        return x
