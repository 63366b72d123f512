"""The two stages as seen by the training loop: from a batch to the loss terms and the adversary's loss."""

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

# The loss terms, and a function that returns the adversary's own loss on the same images.
Outcome: TypeAlias = tuple[dict[str, Tensor], Callable[[nn.Module], Tensor]]


class Stage(ABC, Generic[Compared]):
    """A stage of training: its loss terms, and the forward pass that they compare with the ground truth.

    Args:
        loss: weights and options of the terms.
        vgg: VGG-16 for the terms that need it; None turns them off.
    """

    kind: ClassVar[str]
    terms: ClassVar[tuple[Term[Any], ...]]
    # Whether training needs images without the occluders.
    needs_complete: ClassVar[bool] = False

    def __init__(self, loss: LossConfig, vgg: Features | None = None) -> None:
        self.loss, self.vgg = loss, vgg

    @property
    def needs_adversary(self) -> bool:
        """Whether a term with a positive weight needs an adversary."""
        return bool(needing(self.terms, self.loss.weights, "adversary"))

    @abstractmethod
    def adversary(self) -> nn.Module:
        """Create a new adversary for this stage."""

    @abstractmethod
    def compare(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Compared:
        """Run one forward pass under the caller's autocast, and pair it with the ground truth in float32."""

    @abstractmethod
    def adversary_loss(self, adversary: nn.Module, compared: Compared) -> Tensor:
        """The adversary's own loss; it has no gradient with respect to the network."""

    def learn(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> Outcome:
        """Compute the loss terms of a batch, and return a function for the adversary's loss."""
        compared = self.compare(net, batch, adversary)
        with _full_precision(batch):
            values = evaluate(self.terms, compared, self.loss.weights)
        return values, lambda judge: self.adversary_loss(judge, compared)


class MaskStage(Stage[MaskComparison]):
    """Refined mask completion. It can train any network with the signature `(image, initial mask) -> MaskLogits`."""

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
    """Parsing guided content recovery from the true masks and the true parsing (all background if there is none)."""

    kind = "content"
    terms = CONTENT_TERMS
    needs_complete = True

    def adversary(self) -> nn.Module:
        """`D_c`."""
        return ContentAdversary()

    def compare(self, net: nn.Module, batch: TrainingBatch, adversary: nn.Module | None) -> ContentComparison:
        """See `Stage.compare`."""
        assert batch.complete is not None
        # Partial convolutions need binary masks: a pixel is either valid or invalid.
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
    """Compute losses in float32, regardless of the caller's autocast."""
    return torch.autocast(batch.image.device.type, enabled=False)


def _channels_last(pictures: Tensor) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)
