"""The probable colour of each hidden body part, which `ContentNet` can correct per pixel."""

import torch
from torch import Tensor, nn

from deocc_bench.core.labels import LIP
from deocc_bench.models.config import PARTS
from deocc_bench.models.parsing import one_hot_parts

# Initial log-odds of the sources of a part's colour: the part itself, its other side, other skin, the learned colour.
_ITSELF, _OTHER_SIDE, _SKIN, _LEARNED = 6.0, 4.0, 2.0, -5.0
# The table is small and starts far from its final values, so it learns this many times as fast as a convolution.
_PACE = 8.0
_SKIN_PARTS = ("face", "left-arm", "right-arm", "left-leg", "right-leg")


class ColourPrior(nn.Module):
    """Paints each part with a mixture of the mean visible colours of all parts and a learned colour.

    The weight of a source is its visible area times the exponential of a learned affinity. Initially this is the mean
    colour of the part itself if visible, else of its other side, of other skin (for skin), or of the whole person.
    """

    def __init__(self) -> None:
        super().__init__()
        flip = LIP.flip_table()
        affinity = torch.zeros(PARTS, PARTS + 1)
        skin = [LIP.index(name) - 1 for name in _SKIN_PARTS]
        for part in skin:
            affinity[part, skin] = _SKIN
        for part in range(PARTS):
            affinity[part, int(flip[part + 1]) - 1] = _OTHER_SIDE
            affinity[part, part] = _ITSELF
        affinity[:, PARTS] = _LEARNED
        self.affinity = nn.Parameter(affinity / _PACE)
        self.learned = nn.Parameter(torch.zeros(PARTS, 3))

    def forward(self, erased: Tensor, visible: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1]; pixels outside all parts are 0. Arguments as for `ContentNet.forward`."""
        with torch.autocast(erased.device.type, enabled=False):
            colours = self.colours(erased, visible, modal_parsing)
            parts = one_hot_parts(amodal_parsing, (erased.shape[2], erased.shape[3]), colours.dtype).flatten(2)
            return (colours.transpose(1, 2) @ parts).view(erased.shape)

    def colours(self, erased: Tensor, visible: Tensor, modal_parsing: Tensor) -> Tensor:
        """N x 19 x 3 float32 in [-1, 1]: the probable colour of each part."""
        picture = erased.float()
        size = (picture.shape[2], picture.shape[3])
        seen = (one_hot_parts(modal_parsing, size, picture.dtype) * visible.float()).flatten(2)
        counts = seen.sum(dim=2)
        means = (seen @ picture.flatten(2).transpose(1, 2)) / counts.clamp(min=1.0)[..., None]
        # The learned colour counts as a source with area 1, the whole picture.
        area = torch.cat([counts / (size[0] * size[1]), torch.ones_like(counts[:, :1])], dim=1)
        odds = torch.exp(_PACE * self.affinity)[None] * area[:, None]
        share = odds / odds.sum(dim=2, keepdim=True)
        return share[..., :PARTS] @ means + share[..., PARTS:] * (_PACE * self.learned)
