"""Slow, literal forms of the two networks, for comparison. Nothing here is clever, and nothing is shared with models/.

They follow the description step by step: listing 1 as it is printed (its slip mended), every partial convolution with a
full all-ones mask convolution over all channels, batch normalisation as its own step. Parameters come as a dict of
tensors with the names of the network under test; that is the one thing the two have in common.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Literal:
    """Base: reads named parameters, runs named layers. `training` chooses batch or running statistics."""

    def __init__(self, state: dict[str, Tensor], training: bool = False) -> None:
        self.state, self.training = state, training
        self.ones: dict[str, Tensor] = {}

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state.get(f"{name}.bias"), stride, weight.shape[2] // 2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.batch_norm(x, mean.clone(), var.clone(), weight, bias, self.training)

    def squeeze_excitation(self, name: str, x: Tensor) -> Tensor:
        n, c, _, _ = x.shape
        y = F.adaptive_avg_pool2d(x, 1).view(n, c)
        y = torch.sigmoid(
            F.linear(F.relu(F.linear(y, self.state[f"{name}.squeeze.weight"])), self.state[f"{name}.excite.weight"])
        )
        return x * y.view(n, c, 1, 1).expand_as(x)


class LiteralMaskNet(Literal):
    """Stage 1 with branches, templates and refinement, templates over the whole frame."""

    def double_conv(self, name: str, x: Tensor) -> Tensor:
        x = F.relu(self.norm(f"{name}.1", self.conv(f"{name}.0", x)))
        return F.relu(self.norm(f"{name}.4", self.conv(f"{name}.3", x)))

    def hourglass(self, name: str, x: Tensor) -> Tensor:
        x1 = self.double_conv(f"{name}.down.0", x)
        x2 = self.double_conv(f"{name}.down.1", F.max_pool2d(x1, 2))
        x3 = self.double_conv(f"{name}.down.2", F.max_pool2d(x2, 2))
        x4 = self.double_conv(f"{name}.down.3", F.max_pool2d(x3, 2))
        x5 = self.double_conv(f"{name}.down.4", F.max_pool2d(x4, 2))
        y = x5
        for level, skip in enumerate((x4, x3, x2, x1)):
            y = F.interpolate(y, size=skip.shape[2:], mode="bilinear", align_corners=True)
            y = self.double_conv(f"{name}.up.{level}", torch.cat([skip, y], dim=1))
        return y

    def branch(self, name: str, feature: Tensor) -> tuple[Tensor, Tensor]:
        r = self.conv(f"{name}.residual.first", F.relu(feature))
        r = self.conv(f"{name}.residual.second", F.relu(r))
        parts = F.relu(self.conv(f"{name}.residual.shortcut", feature) + r)
        return self.conv(f"{name}.logits", parts), self.squeeze_excitation(f"{name}.gate", parts.detach())

    def head(self, name: str, x: Tensor) -> Tensor:
        return self.conv(f"{name}.2", F.relu(self.conv(f"{name}.0", x)))

    def templates(self, modal_probability: Tensor) -> Tensor:
        n, _, h, w = modal_probability.shape
        templates = F.interpolate(self.state["reweighting.templates"].unsqueeze(0), size=(h, w), mode="nearest")
        templates = templates.repeat(n, 1, 1, 1)
        affinity = torch.softmax(torch.sum(modal_probability * templates, dim=[2, 3]), dim=1)
        return self.conv("reweighting.mix", templates * affinity.view(n, -1, 1, 1))

    def __call__(self, image: Tensor, initial: Tensor) -> dict[str, Tensor]:
        f_m = self.hourglass("modal_hourglass", torch.cat([image, initial], dim=1))
        parsing_modal, auxiliary = self.branch("modal_parsing", f_m)
        modal = self.head("modal_head", torch.cat([f_m, auxiliary], dim=1))
        f_a = self.hourglass("amodal_hourglass", torch.cat([image, f_m], dim=1))
        parsing_amodal, auxiliary = self.branch("amodal_parsing", f_a)
        templates = self.templates(F.softmax(modal, dim=1)[:, 1:2].detach())
        amodal = self.head("amodal_head", torch.cat([f_a, auxiliary, templates], dim=1))
        return {"amodal": amodal, "modal": modal, "parsing_modal": parsing_modal, "parsing_amodal": parsing_amodal}


class LiteralContentNet(Literal):
    """Stage 2 with PGA (both streams) or without."""

    def partial_conv(self, name: str, x: Tensor, mask: Tensor, stride: int = 1) -> tuple[Tensor, Tensor]:
        """`mask` has as many channels as `x`; so has the mask that comes back with the output."""
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        if name not in self.ones:
            self.ones[name] = torch.ones_like(weight, requires_grad=False)
        padding = weight.shape[2] // 2
        output = F.conv2d(x * mask, weight, bias, stride, padding)
        b = torch.zeros(1) if bias is None else bias.view(1, -1, 1, 1)
        with torch.no_grad():
            mask_sum = F.conv2d(mask, self.ones[name], None, stride, padding)
        holes = mask_sum == 0
        mask_sum = mask_sum.masked_fill(holes, 1.0)
        output = ((output - b) / mask_sum + b).masked_fill(holes, 0.0)
        return output, torch.ones_like(output).masked_fill(holes, 0.0)

    def pga(self, name: str, x: Tensor, m_oh: Tensor, a_oh: Tensor) -> Tensor:
        """Listing 1, its variables and its order kept."""
        n, c, h, w = x.shape
        m_oh = F.interpolate(m_oh, (h, w))
        a_oh = F.interpolate(a_oh, (h, w))  # the listing resizes m_oh here: its slip

        # Attention.B
        m_x = self.conv(f"{name}.modal_parts", x) * m_oh
        a_x = self.conv(f"{name}.amodal_parts", x) * a_oh
        comp_x = torch.concat([x, m_x, a_x], dim=1)
        out_x = self.conv(f"{name}.fuse_parts", comp_x)
        out_a = self.squeeze_excitation(f"{name}.gate", out_x)

        # Attention.T
        q_x = self.conv(f"{name}.query", torch.concat([x, m_oh], dim=1)).view(n, -1, w * h).permute(0, 2, 1)
        k_x = self.conv(f"{name}.key", torch.concat([x, a_oh], dim=1)).view(n, -1, w * h)
        v_x = self.conv(f"{name}.value", x).view(n, -1, w * h)
        energy = torch.bmm(q_x, k_x)
        attention = torch.softmax(energy, dim=-1)
        attention_t = torch.softmax(energy.permute(0, 2, 1), dim=-1)
        out_b = torch.bmm(v_x, attention.permute(0, 2, 1)).view(n, c, h, w)
        out_c = torch.bmm(v_x, attention_t.permute(0, 2, 1)).view(n, c, h, w)
        out = torch.concat([out_a, out_b, out_c], dim=1)

        return self.conv(f"{name}.fuse", out)

    def __call__(
        self, erased: Tensor, visible: Tensor, amodal: Tensor, m_oh: Tensor, a_oh: Tensor
    ) -> dict[str, Tensor]:
        with_pga = any(name.startswith("attention.") for name in self.state)
        h = torch.cat([erased, visible, amodal], dim=1)
        mask = visible.repeat(1, 5, 1, 1)
        features, masks = [h], [mask]
        for level in range(1, 8):
            h, mask = self.partial_conv(f"encoder.{level - 1}", h, mask, stride=2)
            h = F.relu(self.norm(f"encoder_norm.{level - 2}", h) if level > 1 else h)
            if with_pga and level in (3, 5):
                h = self.pga(f"attention.encoder{level}", h, m_oh, a_oh)
            features.append(h)
            masks.append(mask)
        for level in range(7, 0, -1):
            h = torch.cat([F.interpolate(h, scale_factor=2, mode="nearest"), features[level - 1]], dim=1)
            mask = torch.cat([F.interpolate(mask, scale_factor=2, mode="nearest"), masks[level - 1]], dim=1)
            h, mask = self.partial_conv(f"decoder.{7 - level}", h, mask)
            if level > 1:
                h = F.leaky_relu(self.norm(f"decoder_norm.{7 - level}", h), 0.2)
            if with_pga and level in (5, 3):
                h = self.pga(f"attention.decoder{level}", h, m_oh, a_oh)
        image = torch.clamp(h, -1, 1)
        return {"image": image, "composite": erased * visible + image * (1 - visible)}


def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Non-trivial batch statistics, affine terms, biases and templates, weights that keep activations of order one.

    No term can hide behind a zero, and an error bound on the outputs is one on numbers of order one.
    """
    generator = torch.Generator().manual_seed(seed)

    def around(value: Tensor, centre: float, spread: float) -> None:
        value.copy_(centre + spread * (torch.rand(value.shape, generator=generator) - 0.5))

    with torch.no_grad():
        for name, part in module.named_modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                for value, centre in ((part.running_mean, 0.0), (part.bias, 0.0)):
                    around(value, centre, 0.4)
                for value in (part.running_var, part.weight):
                    around(value, 1.0, 0.8)
            elif isinstance(part, torch.nn.Conv2d):
                taps = part.weight[0].numel()
                spread = (2.0 / taps) ** 0.5
                if type(part).__name__ == "PartialConv" and not module.config.window_mean:
                    spread *= taps  # the window sum divides by it
                if name == "decoder.6" and module.config.pga == "none":
                    spread *= 0.1  # nothing damps on the way here, and a clamped output would hide errors
                if name.startswith("attention."):
                    # Energies of order one: a softmax near argmax would be ill-conditioned in any implementation.
                    spread *= 0.25 if name.endswith(("query", "key")) else 0.5
                part.weight.copy_(spread * torch.randn(part.weight.shape, generator=generator))
                if part.bias is not None:
                    around(part.bias, 0.0, 0.4)
            elif hasattr(part, "templates"):
                part.templates.copy_((torch.rand(part.templates.shape, generator=generator) > 0.5).float())
    return module


def human_masks(count: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random boxes as (visible, amodal, modal), float N x 1 x H x W: amodal a box, part of it hidden."""
    generator = torch.Generator().manual_seed(seed)
    amodal, hidden = torch.zeros(count, 1, height, width), torch.zeros(count, 1, height, width)
    for index in range(count):
        top, left = (int(torch.randint(0, side // 4, (1,), generator=generator)) for side in (height, width))
        amodal[index, :, top : top + height // 2, left : left + width // 2] = 1
        hidden[index, :, top + height // 8 : top + height, left + width // 8 :] = 1
    modal = amodal * (1 - hidden)
    return 1 - amodal * (1 - modal), amodal, modal
