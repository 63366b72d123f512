"""Template masks: typical poses found by k-means, and their reweighting by similarity to the modal mask."""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.core.clustering import kmeans
from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import tight_box
from deocc_bench.core.seeding import rng
from deocc_bench.models.blocks import conv3x3
from deocc_bench.models.config import TEMPLATE_SIDE

GROWTH = 0.1
"""Margin added on each side of the modal mask's box before templates are aligned to it, as a share of the box side."""


class TemplateReweighting(nn.Module):
    """Weights the templates by a softmax of their similarity to the modal foreground and mixes them by a convolution.

    In the published form, a template is stretched over the whole frame, and the similarity is its inner product with
    the modal probability, summed over the pixels. This selects nearly a single template. With `temperature`, the
    similarity is that temperature times the share of the modal foreground inside the template. With `align`, a template
    covers the modal mask's box, grown by `GROWTH`, instead of the frame. The templates are a buffer: they are stored
    with the weights but not trained.
    """

    templates: Tensor

    def __init__(self, count: int, width: int, align: bool = False, temperature: float | None = None) -> None:
        super().__init__()
        self.register_buffer("templates", torch.zeros(count, TEMPLATE_SIDE, TEMPLATE_SIDE))
        self.mix = conv3x3(count, width)
        self.align = align
        self.temperature = temperature

    def forward(self, modal: Tensor) -> Tensor:
        """Modal foreground probability N x 1 x H x W (detached here) -> N x width x H x W."""
        modal = modal.detach()
        height, width = modal.shape[-2:]
        step_y, step_x = height // TEMPLATE_SIDE, width // TEMPLATE_SIDE
        whole = height % TEMPLATE_SIDE == 0 and width % TEMPLATE_SIDE == 0
        if not self.align and whole and min(step_y, step_x) >= 3:
            return self._on_cells(modal, step_y, step_x)
        stretched = self._aligned(modal) if self.align else self._stretched((height, width))
        affinity = (modal.float() * stretched).sum(dim=(2, 3))
        return self.mix(stretched * self._weights(affinity, modal)[:, :, None, None])

    def _weights(self, affinity: Tensor, modal: Tensor) -> Tensor:
        if self.temperature is not None:
            affinity = self.temperature * affinity / modal.float().sum(dim=(1, 2, 3)).clamp(min=1.0)[:, None]
        return torch.softmax(affinity, dim=1)

    def _stretched(self, size: tuple[int, int]) -> Tensor:
        return F.interpolate(self.templates[None].float(), size=size, mode="nearest")

    def _on_cells(self, modal: Tensor, step_y: int, step_x: int) -> Tensor:
        """Compute the same values without a full-resolution product: a stretched template is constant on each cell.

        The inner product needs only the modal probability summed per cell. A 3x3 window covers a cell's left end, its
        middle or its right end, so the convolution at three positions per cell and axis yields all values.
        """
        count = modal.shape[0]
        cells = modal.float().view(count, TEMPLATE_SIDE, step_y, TEMPLATE_SIDE, step_x).sum(dim=(2, 4))
        affinity = cells.flatten(1) @ self.templates.float().flatten(1).t()
        weighted = self.templates.float() * self._weights(affinity, modal)[:, :, None, None]
        mixed = self.mix(F.interpolate(weighted, scale_factor=3, mode="nearest"))
        rows = _thirds(step_y, modal.device)
        columns = _thirds(step_x, modal.device)
        return mixed.index_select(2, rows).index_select(3, columns)

    def _aligned(self, modal: Tensor) -> Tensor:
        """N x count x H x W: each template drawn over the grown box of the sample's modal mask, zero outside."""
        boxes = _grown_boxes(modal)
        height, width = modal.shape[-2:]
        y = torch.arange(height, device=modal.device, dtype=torch.float32) + 0.5
        x = torch.arange(width, device=modal.device, dtype=torch.float32) + 0.5
        rows = ((y[None] - boxes[:, 1:2]) / (boxes[:, 3:4] - boxes[:, 1:2])) * TEMPLATE_SIDE
        columns = ((x[None] - boxes[:, 0:1]) / (boxes[:, 2:3] - boxes[:, 0:1])) * TEMPLATE_SIDE
        inside = _inside(rows)[:, None, :, None] & _inside(columns)[:, None, None, :]
        flat = _cell(rows)[:, :, None] * TEMPLATE_SIDE + _cell(columns)[:, None, :]
        stretched = self.templates.float().flatten(1)[:, flat]
        return stretched.movedim(1, 0) * inside


def _inside(position: Tensor) -> Tensor:
    return (position >= 0) & (position < TEMPLATE_SIDE)


def _cell(position: Tensor) -> Tensor:
    return position.floor().clamp(0, TEMPLATE_SIDE - 1).long()


def _thirds(step: int, device: torch.device) -> Tensor:
    """For each pixel of a row of cells, the index of the position (three per cell) that has its value."""
    inside = torch.arange(step, device=device)
    position = 1 - (inside == 0).long() + (inside == step - 1).long()
    return (torch.arange(TEMPLATE_SIDE, device=device)[:, None] * 3 + position[None]).flatten()


def _grown_boxes(modal: Tensor) -> Tensor:
    """N x 4 (x0, y0, x1, y1): the grown box of the modal foreground (probability above 0.5), or the frame if empty."""
    foreground = modal[:, 0] > 0.5
    height, width = foreground.shape[-2:]
    y0, y1 = _extent(foreground.any(dim=2))
    x0, x1 = _extent(foreground.any(dim=1))
    grow_x, grow_y = GROWTH * (x1 - x0), GROWTH * (y1 - y0)
    boxes = torch.stack([x0 - grow_x, y0 - grow_y, x1 + grow_x, y1 + grow_y], dim=1)
    nothing = torch.zeros_like(x0)
    frame = torch.stack([nothing, nothing, nothing + width, nothing + height], dim=1)
    return torch.where(foreground.flatten(1).any(dim=1, keepdim=True), boxes, frame)


def _extent(present: Tensor) -> tuple[Tensor, Tensor]:
    """First index and one past the last index of the true entries in each row of an N x L bool tensor."""
    length = present.shape[1]
    index = torch.arange(length, device=present.device, dtype=torch.float32)
    first = torch.where(present, index, float(length)).amin(dim=1)
    last = torch.where(present, index + 1, 0.0).amax(dim=1)
    return first, last


def crop_to_template(mask: np.ndarray) -> np.ndarray:
    """Crop a mask, bool H x W, to its tight box and resize it to float32 32 x 32 in [0, 1].

    Raises:
        InputError: the mask is empty.
    """
    box = tight_box(mask)
    if box is None:
        raise InputError("templates", "a mask is empty", "give amodal masks with a human in them")
    x0, y0, x1, y1 = box
    crop = np.ascontiguousarray(mask[y0:y1, x0:x1], dtype=np.float32)
    shrinks = crop.shape[0] >= TEMPLATE_SIDE and crop.shape[1] >= TEMPLATE_SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.clip(cv2.resize(crop, (TEMPLATE_SIDE, TEMPLATE_SIDE), interpolation=how), 0.0, 1.0)


def fit_templates(masks: Iterable[np.ndarray], count: int = 64, seed: int = 0) -> np.ndarray:
    """Fit template masks to amodal masks (bool H x W each): float32 count x 32 x 32, largest cluster first.

    The same masks in the same order with the same seed yield the same templates. If there are fewer distinct masks than
    templates, the templates repeat.

    Raises:
        InputError: fewer masks than templates.
    """
    crops = [crop_to_template(mask).ravel() for mask in masks]
    if len(crops) < count:
        raise InputError(
            "templates", f"{len(crops)} masks for {count} templates", "give more humans or ask for fewer templates"
        )
    centres, labels = kmeans(np.stack(crops), count, rng(seed, "k-means"))
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.resize(centres[order], (count, TEMPLATE_SIDE, TEMPLATE_SIDE))
