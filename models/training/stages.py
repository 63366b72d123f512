"""The two stages as the loop sees them: from a batch to loss terms, and what their adversary learns from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from deocc_bench.models.adversaries import ContentAdversary, MaskAdversary
from deocc_bench.models.content_net import content_input, dim_background
from deocc_bench.models.training.config import LossConfig
from deocc_bench.models.training.data import TrainingBatch
from deocc_bench.models.training.losses import (
    ContentTarget,
    MaskTarget,
    content_adversary_loss,
    content_terms,
    mask_adversary_loss,
    mask_terms,
)
from deocc_bench.models.training.perceptual import Features

# The loss terms, and a function adversary -> its own loss on the same pictures.
Outcome = tuple[dict[str, Tensor], Callable[[nn.Module], Tensor]]


class Stage(Protocol):
    """What the loop needs of a stage."""

    kind: str

    def adversary(self) -> nn.Module:
        """A fresh adversary of this stage."""
        ...

    def learn(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Outcome:
        """One forward pass under the caller's autocast."""
        ...


class MaskStage:
    """Refined mask completion; any network `(image, initial mask) -> MaskLogits` can be trained as one."""

    kind = "mask"

    def __init__(self, loss: LossConfig, vgg: Features | None = None) -> None:
        self.loss, self.vgg = loss, vgg

    def adversary(self) -> nn.Module:
        """`D_m`."""
        return MaskAdversary()

    def learn(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Outcome:
        """See `Stage.learn`."""
        logits = net(_laid_out(batch.image), batch.initial)
        with torch.autocast(batch.image.device.type, enabled=False):
            target = MaskTarget(batch.image, batch.amodal, batch.modal, batch.known, batch.parsing)
            terms = mask_terms(logits, target, self.loss, self.vgg, adversary)
        return terms, lambda judge: mask_adversary_loss(judge, logits, target)


class ContentStage:
    """Parsing guided content recovery, from true masks and the true parsing (nothing where there is none)."""

    kind = "content"

    def __init__(self, loss: LossConfig, vgg: Features | None = None) -> None:
        self.loss, self.vgg = loss, vgg

    def adversary(self) -> nn.Module:
        """`D_c`."""
        return ContentAdversary()

    def learn(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Outcome:
        """See `Stage.learn`."""
        assert batch.complete is not None
        # Partial convolutions know valid and invalid pixels, nothing between.
        modal, amodal = (batch.modal >= 0.5).float(), (batch.amodal >= 0.5).float()
        erased, visible = content_input(batch.image, modal, amodal)
        labels = batch.parsing
        parsing = torch.zeros_like(modal[:, 0], dtype=torch.int64) if labels is None else labels
        seen = parsing * (modal[:, 0] > 0)
        result = net(_laid_out(erased), visible, amodal, seen, parsing)
        with torch.autocast(batch.image.device.type, enabled=False):
            # The complete human over the occluded scene.
            picture = batch.complete * amodal + batch.image * (1 - amodal)
            target = ContentTarget(dim_background(picture, amodal), amodal, modal, labels)
            terms = content_terms(result, target, self.loss, self.vgg, adversary)
        return terms, lambda judge: content_adversary_loss(judge, result, target)


def _laid_out(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)
