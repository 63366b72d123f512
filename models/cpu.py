"""The two networks for float32 inference on a CPU: the same values with less work and memory traffic.

Differences from the plain forward passes: batch normalisation is folded; wide 3x3 convolutions run as Winograd
transforms (NNPACK at high resolution, `winograd` at middle resolution), the others with weights packed once for oneDNN;
concatenations are written in place into one buffer; convolutions with the same input are merged; masks that are one
everywhere are not multiplied. If a backend is missing, plain convolutions are used.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.attention import mutual_attention
from deocc_bench.models.blocks import enlarged, from_patches, to_patches
from deocc_bench.models.content_net import ContentNet, ContentResult
from deocc_bench.models.fold import fold
from deocc_bench.models.mask_net import MaskLogits, MaskNet
from deocc_bench.models.parsing import ParsingBranch, one_hot_parts
from deocc_bench.models.partial_conv import PartialConv
from deocc_bench.models.pga import ParsingGuidedAttention
from deocc_bench.models.winograd import WinogradConv, fits

# The sizes at which each backend is fastest, measured with `benchmarks/models_speed.py convolutions`.
NNPACK_POSITIONS, NNPACK_INPUTS = 64 * 64, 64
"""Minimum number of positions and of input channels for NNPACK, which transforms the kernel in every call."""

WINOGRAD_POSITIONS, WINOGRAD_KERNELS = (32 * 32, 64 * 64), 128 * 192
"""Minimum and maximum number of positions for `WinogradConv` (larger tiles do not fit the caches); minimum product of
input and output channels."""


def _nnpack_available() -> bool:
    """Whether NNPACK is available. This call also initialises it; without it, its convolutions fail."""
    return bool(torch._nnpack_available())


def _packing_available() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class FastConv:
    """One convolution with its activation; the backend depends on the input size.

    `act` is "none", "relu" or "leaky" (0.2).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int = 1, act: str = "none") -> None:
        self.weight, self.bias, self.stride, self.act = weight.detach().contiguous(), bias, stride, act
        self.padding, self.outputs = weight.shape[2] // 2, weight.shape[0]
        three_by_three = stride == 1 and weight.shape[2] == 3
        self.nnpack = three_by_three and weight.shape[1] >= NNPACK_INPUTS and _nnpack_available()
        self.wide = three_by_three and weight.shape[0] * weight.shape[1] >= WINOGRAD_KERNELS
        self.packed: Tensor | None = None
        self.winograd: WinogradConv | None = None

    @classmethod
    def of(cls, *convs: nn.Module, act: str = "none") -> "FastConv":
        """Merge `convs` (same input, kernel and stride) into one convolution with all their channels in order."""
        parts = [conv for conv in convs if isinstance(conv, nn.Conv2d)]
        bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts if part.bias is not None])
        return cls(torch.cat([part.weight for part in parts]), bias, parts[0].stride[0], act)

    def __call__(self, x: Tensor) -> Tensor:
        positions = x.shape[2] * x.shape[3]
        if self.wide and WINOGRAD_POSITIONS[0] <= positions <= WINOGRAD_POSITIONS[1] and fits(x):
            if self.winograd is None:
                self.winograd = WinogradConv(self.weight, self.bias)
            return self._activate(self.winograd(x))
        if self.nnpack and positions >= NNPACK_POSITIONS:
            y = torch._nnpack_spatial_convolution(x.contiguous(), self.weight, self.bias, self.padding, 1)
            return self._activate(y)
        if _packing_available():
            return self._packed(x)
        return self._activate(F.conv2d(x, self.weight, self.bias, self.stride, self.padding))

    def _packed(self, x: Tensor) -> Tensor:
        pad, stride = [self.padding] * 2, [self.stride] * 2
        if self.packed is None:
            weight = self.weight.contiguous(memory_format=torch.channels_last)
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight, pad, stride, [1, 1], 1, list(x.shape))
        name, scalars = {"none": ("none", []), "relu": ("relu", []), "leaky": ("leaky_relu", [0.2])}[self.act]
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, pad, stride, [1, 1], 1, name, scalars, ""
        )

    def _activate(self, y: Tensor) -> Tensor:
        if self.act == "relu":
            return y.relu_()
        return F.leaky_relu_(y, 0.2) if self.act == "leaky" else y


class _Buffers:
    """Concatenation buffers by name and width, kept between calls.

    A new allocation of 30 MB costs as much as filling it. Both hourglasses share buffers of equal width.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Tensor] = {}

    def get(self, name: str, like: Tensor, channels: int) -> Tensor:
        shape = (like.shape[0], channels, *like.shape[2:])
        key = (name, channels)
        if key not in self.kept or self.kept[key].shape != shape:
            self.kept[key] = torch.empty(shape)
        return self.kept[key]


class _CpuHourglass:
    def __init__(self, hourglass: nn.Module) -> None:
        def pairs(blocks: nn.Module) -> list[tuple[FastConv, FastConv]]:
            # The last convolution of a block is written into a buffer through a ReLU, so it needs no activation.
            return [(FastConv.of(block[0], act="relu"), FastConv.of(block[3])) for block in blocks]  # type: ignore

        self.down, self.up = pairs(hourglass.down), pairs(hourglass.up)  # type: ignore[arg-type]

    def __call__(self, x: Tensor, buffers: _Buffers, out: Tensor) -> None:
        """Write the feature into `out`; each skip is written directly into the buffer that the decoder reads."""
        joined: list[tuple[Tensor, int]] = []
        for level, (first, second) in enumerate(self.down):
            y = second(first(x))
            if level == len(self.down) - 1:
                x = y.relu_()
                break
            width = y.shape[1]
            below = self.down[-1][1].outputs if level == len(self.down) - 2 else self.up[-2 - level][1].outputs
            buffer = buffers.get(f"level{level}", y, width + below)
            skip = buffer[:, :width]
            torch.clamp_min(y, 0.0, out=skip)
            joined.append((buffer, width))
            x = _halved(skip)
        for level, (first, second) in enumerate(self.up):
            buffer, width = joined.pop()
            size, above = list(buffer.shape[2:]), buffer[:, width:]
            torch.ops.aten.upsample_bilinear2d.out(x.contiguous(), size, True, None, None, out=above)
            y = second(first(buffer))
            if level == len(self.up) - 1:
                torch.clamp_min(y, 0.0, out=out)
            else:
                x = y.relu_()


def _halved(x: Tensor) -> Tensor:
    """Max-pooling by 2, rows first: several times faster than the general kernel, which also stores indices."""
    rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


class _CpuHeads:
    """The convolutions after one hourglass: parsing branch and mask head.

    The feature is the output of a ReLU, so the residual path, the shortcut and the head's weights for the feature read
    the same values and are merged into one convolution. The head's results for the auxiliary feature and the templates
    are added to it.
    """

    def __init__(self, head: nn.Sequential, branch: ParsingBranch | None, width: int) -> None:
        first = head[0]
        assert isinstance(first, nn.Conv2d)
        self.second = FastConv.of(head[2])
        self.branch = branch
        if branch is None:
            self.read = FastConv.of(first)
            return
        residual = branch.residual
        self.width = residual.first.weight.shape[0]
        self.extra = first.weight.shape[1] - width
        self.read = FastConv.of(residual.first, residual.shortcut, _slice(first, 0, width, bias=True))
        self.residual = FastConv.of(residual.second)
        self.logits = FastConv.of(branch.logits)
        self.read_extra = FastConv.of(_slice(first, width, None, bias=False))

    def __call__(
        self, feature: Tensor, buffers: _Buffers, templates: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(mask logits, parsing logits)."""
        read = self.read(feature)
        if self.branch is None:
            return self.second(read.relu_()), None
        width = self.width
        parts = self.residual(read[:, :width].relu_()).add_(read[:, width : 2 * width]).relu_()
        extra = buffers.get("extra", parts, self.extra)
        extra[:, :width] = self.branch.gate(parts)
        if templates is not None:
            extra[:, width:] = templates
        hidden = self.read_extra(extra).add_(read[:, 2 * width :]).relu_()
        return self.second(hidden), self.logits(parts)


class CpuMaskNet:
    """`MaskNet` for CPU inference, with the same call signature. Returns `MaskLogits`. Not thread-safe."""

    def __init__(self, net: MaskNet) -> None:
        self.net = net = fold(net)
        self.config, width = net.config, net.config.width
        self.refined = net.config.refinement_width or width
        self.buffers = _Buffers()
        self.amodal_hourglass = _CpuHourglass(net.amodal_hourglass)
        self.amodal_heads = _CpuHeads(net.amodal_head, getattr(net, "amodal_parsing", None), width)
        if self.config.refinement:
            self.modal_hourglass = _CpuHourglass(net.modal_hourglass)
            self.modal_heads = _CpuHeads(net.modal_head, getattr(net, "modal_parsing", None), self.refined)

    @torch.no_grad()
    def __call__(self, image: Tensor, initial: Tensor) -> MaskLogits:
        """See `MaskNet.forward`."""
        modal, parsing_modal, foreground = None, None, initial
        patch, patches = self.config.patch, to_patches(image, self.config.patch)
        hourglass_input, channels = torch.cat([patches, to_patches(initial, patch)], dim=1), patches.shape[1]
        if self.config.refinement:
            # The input of the second hourglass: image and feature concatenated.
            buffer = self.buffers.get("joined", patches, channels + self.refined)
            buffer[:, :channels] = patches
            self.modal_hourglass(hourglass_input, self.buffers, buffer[:, channels:])
            modal, parsing_modal = self.modal_heads(buffer[:, channels:], self.buffers)
            modal = from_patches(modal, patch)
            foreground, hourglass_input = torch.softmax(modal, dim=1)[:, 1:2], buffer
        feature = self.buffers.get("feature", patches, self.config.width)
        self.amodal_hourglass(hourglass_input, self.buffers, feature)
        templates = None
        if self.config.with_templates:
            templates = self.net.reweighting(F.avg_pool2d(foreground, patch) if patch > 1 else foreground)
        amodal, parsing_amodal = self.amodal_heads(feature, self.buffers, templates)
        parsings = [None if p is None else enlarged(p, patch) for p in (parsing_modal, parsing_amodal)]
        return MaskLogits(from_patches(amodal, patch), modal, *parsings)


class _CpuAttention:
    """A PGA block. q, k, v and the two part convolutions read x, so their weights for x are merged."""

    def __init__(self, pga: ParsingGuidedAttention) -> None:
        self.streams, self.gate = pga.streams, getattr(pga, "gate", None)
        channels = pga.fuse.weight.shape[0]
        on_x: list[nn.Module] = []
        if self.streams != "mutual":
            on_x += [pga.modal_parts, pga.amodal_parts]
            self.fuse_parts = FastConv.of(pga.fuse_parts)
        if self.streams != "body":
            self.depth = pga.query.weight.shape[0]
            on_x += [_slice(pga.query, 0, channels, bias=True), _slice(pga.key, 0, channels, bias=True), pga.value]
            self.query_parts = FastConv.of(_slice(pga.query, channels, None, bias=False))
            self.key_parts = FastConv.of(_slice(pga.key, channels, None, bias=False))
        self.on_x = FastConv.of(*on_x)
        self.fuse = FastConv.of(pga.fuse)

    def __call__(self, x: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor) -> Tensor:
        size = (x.shape[2], x.shape[3])
        modal, amodal = (one_hot_parts(parsing, size, x.dtype) for parsing in (modal_parsing, amodal_parsing))
        read, streams = self.on_x(x), []
        if self.streams != "mutual":
            parts = modal.shape[1]
            spread = torch.cat([x, read[:, :parts] * modal, read[:, parts : 2 * parts] * amodal], dim=1)
            assert self.gate is not None
            streams.append(self.gate(self.fuse_parts(spread)))
            read = read[:, 2 * parts :]
        if self.streams != "body":
            q = (read[:, : self.depth] + self.query_parts(modal)).flatten(2)
            k = (read[:, self.depth : 2 * self.depth] + self.key_parts(amodal)).flatten(2)
            pair = mutual_attention(q, k, read[:, 2 * self.depth :].flatten(2))
            streams.extend(stream.reshape(x.shape) for stream in pair)
        return self.fuse(torch.cat(streams, dim=1))


def _slice(conv: nn.Conv2d, start: int, stop: int | None, bias: bool) -> nn.Conv2d:
    """The part of a convolution that reads input channels ``start:stop``."""
    weight = conv.weight[:, start:stop]
    part = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=bias)
    part.weight = nn.Parameter(weight, requires_grad=False)
    if bias:
        part.bias = conv.bias
    return part


class CpuContentNet:
    """`ContentNet` for CPU inference, with the same call signature. Returns `ContentResult`."""

    def __init__(self, net: ContentNet) -> None:
        self.net = net = fold(net)
        self.config = net.config
        down = [conv for conv in net.encoder if isinstance(conv, PartialConv)]
        up = [conv for conv in net.decoder if isinstance(conv, PartialConv)]
        self.encoder = [(FastConv(conv.weight, None, 2), conv.shift) for conv in down]
        self.decoder = [(FastConv(conv.weight, None), conv.shift) for conv in up]
        self.last_bias = up[-1].get_parameter("bias").view(1, -1, 1, 1)
        self.attention = {name: _CpuAttention(block) for name, block in net.attention.items()}  # type: ignore
        self.pyramid = net.pyramid

    @torch.no_grad()
    def __call__(
        self, erased: Tensor, visible: Tensor, amodal: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor
    ) -> ContentResult:
        """See `ContentNet.forward`."""
        pyramid = self.pyramid(visible)
        x = torch.cat([erased, visible, amodal], dim=1)
        features = [_masked(x, pyramid.masks[0])]
        for level, (conv, shift) in enumerate(self.encoder):
            x = _scaled(conv(features[-1]), pyramid.encoder[level].scale, shift).relu_()
            x = self._attend(f"encoder{level + 1}", x, modal_parsing, amodal_parsing)
            features.append(_masked(x, pyramid.masks[level + 1]))
        x = features.pop()
        for level, (conv, shift) in enumerate(self.decoder):
            below = F.interpolate(x, scale_factor=2, mode="nearest")
            y = conv(torch.cat([below, features.pop()], dim=1))
            window = pyramid.decoder[level]
            if level == len(self.decoder) - 1:
                x = _scaled(y, window.scale, None).add_(self.last_bias * window.valid)
            else:
                x = F.leaky_relu_(_scaled(y, window.scale, shift), 0.2)
                x = self._attend(f"decoder{7 - level}", x, modal_parsing, amodal_parsing)
                x = _masked(x, pyramid.ups[level + 1])
        if self.config.colour_prior:
            x = x.add_(self.net.prior(erased, visible, modal_parsing, amodal_parsing))
        image = x.clamp_(-1.0, 1.0)
        return ContentResult(image, erased * visible + image * (1.0 - visible))

    def _attend(self, place: str, x: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor) -> Tensor:
        block = self.attention.get(place)
        return x if block is None else block(x, modal_parsing, amodal_parsing)


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    return x if bool(mask.all()) else x * mask


def _scaled(y: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    if shift is None:
        return y.mul_(scale)
    return torch.addcmul(shift.view(1, -1, 1, 1), y, scale)
