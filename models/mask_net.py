"""Stage 1: the refined mask completion network (supplementary figure 1)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.blocks import conv3x3, enlarged, from_patches, to_patches
from deocc_bench.models.config import MaskConfig
from deocc_bench.models.hourglass import Hourglass
from deocc_bench.models.parsing import ParsingBranch
from deocc_bench.models.templates import TemplateReweighting


@dataclass
class MaskLogits:
    """The output of stage 1, all at the input size; outputs that the configuration disables are None."""

    amodal: Tensor
    """N x 2 x H x W: background, human."""
    modal: Tensor | None = None
    """N x 2 x H x W."""
    parsing_modal: Tensor | None = None
    """N x 20 x H x W, LIP classes. In training one value per patch: upsampling 20 channels costs a fifth of a step."""
    parsing_amodal: Tensor | None = None
    """The same for the whole person."""


def final_masks(logits: MaskLogits) -> tuple[Tensor, Tensor | None]:
    """The masks as bool N x H x W: amodal (argmax(amodal) or argmax(modal)) and modal (None without refinement)."""
    amodal = logits.amodal[:, 1] > logits.amodal[:, 0]
    if logits.modal is None:
        return amodal, None
    modal = logits.modal[:, 1] > logits.modal[:, 0]
    return amodal | modal, modal


def _head(inputs: int, hidden: int, patch: int) -> nn.Sequential:
    return nn.Sequential(conv3x3(inputs, hidden), nn.ReLU(inplace=True), conv3x3(hidden, 2 * patch**2))


class MaskNet(nn.Module):
    """Two stacked hourglasses: the first refines the initial mask, the second completes it.

    ``forward(image, initial)``: image float N x 3 x H x W in [-1, 1], initial mask float N x 1 x H x W in {0, 1};
    H and W multiples of 16 patches. Only two inputs are detached: the parsing feature where it enters the mask heads,
    and the modal probability where it enters the templates.
    """

    def __init__(self, config: MaskConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MaskConfig()
        width, branch = config.width, config.branch_width if config.branches else 0
        pixels, refined = config.patch**2, config.refinement_width or config.width
        if config.refinement:
            self.modal_hourglass = Hourglass(4 * pixels, refined)
            self.modal_head = _head(refined + branch, config.modal_width, config.patch)
        self.amodal_hourglass = Hourglass(3 * pixels + (refined if config.refinement else pixels), width)
        extra = config.template_width if config.with_templates else 0
        self.amodal_head = _head(width + branch + extra, config.amodal_width, config.patch)
        if config.branches:
            if config.refinement:
                self.modal_parsing = ParsingBranch(refined, branch)
            self.amodal_parsing = ParsingBranch(width, branch)
        if config.with_templates:
            self.reweighting = TemplateReweighting(
                config.template_count, config.template_width, config.align_templates, config.template_temperature
            )

    def forward(self, image: Tensor, initial: Tensor) -> MaskLogits:
        """Logits of both masks and both parsings."""
        patch = self.config.patch
        modal, parsing_modal, foreground = None, None, initial
        patches = to_patches(image, patch)
        second_input = torch.cat([patches, to_patches(initial, patch)], dim=1)
        if self.config.refinement:
            feature = self.modal_hourglass(second_input)
            parts = [feature]
            if self.config.branches:
                parsing_modal, auxiliary = self.modal_parsing(feature)
                parts.append(auxiliary)
            modal = from_patches(self.modal_head(torch.cat(parts, dim=1)), patch)
            foreground = torch.softmax(modal.float(), dim=1)[:, 1:2]
            second_input = torch.cat([patches, feature], dim=1)
        feature, parsing_amodal = self.amodal_hourglass(second_input), None
        parts = [feature]
        if self.config.branches:
            parsing_amodal, auxiliary = self.amodal_parsing(feature)
            parts.append(auxiliary)
        if self.config.with_templates:
            parts.append(self.reweighting(F.avg_pool2d(foreground, patch) if patch > 1 else foreground))
        amodal = from_patches(self.amodal_head(torch.cat(parts, dim=1)), patch)
        parsings = [parsing_modal, parsing_amodal]
        if not self.training:
            parsings = [None if parsing is None else enlarged(parsing, patch) for parsing in parsings]
        return MaskLogits(amodal, modal, *parsings)
