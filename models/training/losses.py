"""What the losses of both stages share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Pixels at 256 x 256 that a soft IoU or a part's mean colour is smoothed with: below that nothing can be said.
SMOOTH = 16 / 256**2


def generator_loss(judged_fake: Tensor) -> Tensor:
    """Non-saturating: the network wants its work to be judged true."""
    return F.binary_cross_entropy_with_logits(judged_fake.float(), torch.ones_like(judged_fake, dtype=torch.float32))


def adversary_loss(judged_true: Tensor, judged_fake: Tensor) -> Tensor:
    """Mean of the two BCE-with-logits halves."""
    true, fake = judged_true.float(), judged_fake.float()
    on_true = F.binary_cross_entropy_with_logits(true, torch.ones_like(true))
    on_fake = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return 0.5 * (on_true + on_fake)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` with weights of the same shape; 0 where all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
