"""Functions shared by the losses of both stages."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Smoothing of a soft IoU, and minimum size of a part for its mean colour: 16 pixels at 256 x 256, as a share.
SMOOTH = 16 / 256**2


def generator_loss(judged_fake: Tensor) -> Tensor:
    """Non-saturating generator loss: low if the adversary classifies the network's output as true."""
    return F.binary_cross_entropy_with_logits(judged_fake.float(), torch.ones_like(judged_fake, dtype=torch.float32))


def adversary_loss(judged_true: Tensor, judged_fake: Tensor) -> Tensor:
    """Mean of the two BCE-with-logits losses, on true and on predicted samples."""
    true, fake = judged_true.float(), judged_fake.float()
    on_true = F.binary_cross_entropy_with_logits(true, torch.ones_like(true))
    on_fake = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return 0.5 * (on_true + on_fake)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of `values`, with weights of the same shape; 0 if all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
