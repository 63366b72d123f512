"""Stage 1 on a picture and its mirror image, with both outputs averaged: slightly better, at twice the cost."""

from collections.abc import Callable

import torch
from torch import Tensor

from deocc_bench.core.labels import LIP
from deocc_bench.models.mask_net import MaskLogits

MaskForm = Callable[[Tensor, Tensor], MaskLogits]


def mirrored(form: MaskForm) -> MaskForm:
    """Wrap `form` (any form of the mask network) to average its outputs for the image and the mirror image.

    The result is called with image and initial mask, like `form`. In the parsing of the mirror image, left and right
    parts are swapped before it is mirrored back.
    """

    def run(image: Tensor, initial: Tensor) -> MaskLogits:
        both = form(torch.cat([image, image.flip(3)]), torch.cat([initial, initial.flip(3)]))
        rest = (both.modal, both.parsing_modal, both.parsing_amodal)
        return MaskLogits(_averaged(both.amodal), *(None if logits is None else _averaged(logits) for logits in rest))

    return run


def _averaged(logits: Tensor) -> Tensor:
    straight, back = logits.chunk(2)
    back = back.flip(3)
    if logits.shape[1] == LIP.size:
        back = back[:, torch.from_numpy(LIP.flip_table()[: LIP.size]).long().to(logits.device)]
    return (straight + back) / 2
