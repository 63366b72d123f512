"""Stage 1 on a picture and its mirror image at once, both answers averaged: a little better, at twice the work."""

from collections.abc import Callable

import torch
from torch import Tensor

from deocc_bench.core.labels import LIP
from deocc_bench.models.mask_net import MaskLogits

MaskForm = Callable[[Tensor, Tensor], MaskLogits]


def mirrored(form: MaskForm) -> MaskForm:
    """`form` (a mask network in any form, called with image and initial mask) averaged with itself on the mirror image.

    In the parsing of the mirror image left and right parts are exchanged before it is mirrored back.
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
