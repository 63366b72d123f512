"""The two stages as the loop sees them: from a batch to loss terms, and what their adversary learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeAlias

import torch
from torch import Tensor, nn

from deocc_bench.models.adversaries import ContentAdversary, MaskAdversary
from deocc_bench.models.content_net import content_input, dim_background
from deocc_bench.models.training.config import LossConfig
from deocc_bench.models.training.content_losses import (
    CONTENT_TERMS,
    ContentComparison,
    ContentTarget,
    content_adversary_loss,
)
from deocc_bench.models.training.data import TrainingBatch
from deocc_bench.models.training.mask_losses import MASK_TERMS, MaskComparison, MaskTarget, mask_adversary_loss
from deocc_bench.models.training.perceptual import Features
from deocc_bench.models.training.terms import Compared, Term, evaluate, needing

# The loss terms, and a function adversary -> its own loss on the same pictures.
Outcome: TypeAlias = tuple[dict[str, Tensor], Callable[[nn.Module], Tensor]]


class Stage(ABC, Generic[Compared]):
    """What is learned: the terms of a stage, and how a batch becomes what they compare.

    Args:
        loss: weights of the terms, and what shapes them.
        vgg: for the terms that need it; None leaves them out.
    """

    kind: ClassVar[str]
    terms: ClassVar[tuple[Term[Any], ...]]
    # Whether training needs images without the occluders.
    needs_complete: ClassVar[bool] = False

    def __init__(self, loss: LossConfig, vgg: Features | None = None) -> None:
        self.loss, self.vgg = loss, vgg

    @property
    def needs_adversary(self) -> bool:
        """Whether a term is wanted that an adversary judges."""
        return bool(needing(self.terms, self.loss.weights, "adversary"))

    @abstractmethod
    def adversary(self) -> nn.Module:
        """A fresh adversary of this stage."""

    @abstractmethod
    def compare(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Compared:
        """One forward pass under the caller's autocast, beside the truth in float32."""

    @abstractmethod
    def adversary_loss(self, adversary: nn.Module, compared: Compared) -> Tensor:
        """What the adversary learns from; nothing of it reaches the network."""

    def learn(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Outcome:
        """The loss terms of a batch, and what the adversary learns from."""
        compared = self.compare(net, batch, adversary)
        with _full_precision(batch):
            values = evaluate(self.terms, compared, self.loss.weights)
        return values, lambda judge: self.adversary_loss(judge, compared)


class MaskStage(Stage[MaskComparison]):
    """Refined mask completion; any network `(image, initial mask) -> MaskLogits` can be trained as one."""

    kind = "mask"
    terms = MASK_TERMS

    def adversary(self) -> nn.Module:
        """`D_m`."""
        return MaskAdversary()

    def compare(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> MaskComparison:
        """See `Stage.compare`."""
        logits = net(_channels_last(batch.image), batch.initial)
        target = MaskTarget(batch.image, batch.amodal, batch.modal, batch.known, batch.parsing)
        with _full_precision(batch):
            return MaskComparison(logits, target, self.loss, self.vgg, adversary)

    def adversary_loss(self, adversary: nn.Module, compared: MaskComparison) -> Tensor:
        """See `Stage.adversary_loss`."""
        return mask_adversary_loss(adversary, compared.logits, compared.target)


class ContentStage(Stage[ContentComparison]):
    """Parsing guided content recovery, from true masks and the true parsing (nothing where there is none)."""

    kind = "content"
    terms = CONTENT_TERMS
    needs_complete = True

    def adversary(self) -> nn.Module:
        """`D_c`."""
        return ContentAdversary()

    def compare(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> ContentComparison:
        """See `Stage.compare`."""
        assert batch.complete is not None
        # Partial convolutions know valid and invalid pixels, nothing between.
        modal, amodal = (batch.modal >= 0.5).float(), (batch.amodal >= 0.5).float()
        erased, visible = content_input(batch.image, modal, amodal)
        labels = batch.parsing
        parsing = torch.zeros_like(modal[:, 0], dtype=torch.int64) if labels is None else labels
        seen = parsing * (modal[:, 0] > 0)
        result = net(_channels_last(erased), visible, amodal, seen, parsing)
        with _full_precision(batch):
            # The complete human over the occluded scene.
            picture = batch.complete * amodal + batch.image * (1 - amodal)
            target = ContentTarget(dim_background(picture, amodal), amodal, modal, labels)
            return ContentComparison(result, target, self.loss, self.vgg, adversary)

    def adversary_loss(self, adversary: nn.Module, compared: ContentComparison) -> Tensor:
        """See `Stage.adversary_loss`."""
        return content_adversary_loss(adversary, compared.composite, compared.target)


STAGES: Mapping[str, type[Stage[Any]]] = {stage.kind: stage for stage in (MaskStage, ContentStage)}


def _full_precision(batch: TrainingBatch) -> torch.autocast:
    """Losses are computed in float32, whatever the caller's autocast."""
    return torch.autocast(batch.image.device.type, enabled=False)


def _channels_last(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)
