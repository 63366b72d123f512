"""Convert images of any size to the networks' working frame and back."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from deocc_bench.models.config import MULTIPLE


@dataclass(frozen=True)
class WorkingFrame:
    """Placement of an image in the network's frame: scaled to height x width, at (top, left) of a black frame."""

    image_height: int
    image_width: int
    height: int
    width: int
    top: int
    left: int
    frame_height: int
    frame_width: int

    @classmethod
    def fit(cls, image_height: int, image_width: int, size: int) -> "WorkingFrame":
        """Scale the longer side to `size`, keep the aspect ratio, and pad both sides to a multiple of 128."""
        scale = size / max(image_height, image_width)
        height, width = max(1, round(image_height * scale)), max(1, round(image_width * scale))
        frame_height, frame_width = (-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
        top, left = (frame_height - height) // 2, (frame_width - width) // 2
        return cls(image_height, image_width, height, width, top, left, frame_height, frame_width)

    def images(self, images: np.ndarray) -> Tensor:
        """uint8 N x H x W x 3 RGB -> float32 N x 3 x h x w in [-1, 1]; the padding is black."""
        framed = self._place(images, np.stack([self._scaled(image.astype(np.float32)) for image in images]))
        return torch.from_numpy(framed).permute(0, 3, 1, 2).contiguous() / 127.5 - 1.0

    def masks(self, masks: np.ndarray) -> Tensor:
        """bool N x H x W -> float32 N x 1 x h x w in {0, 1}."""
        scaled = np.stack([self._scaled(mask.astype(np.float32)) >= 0.5 for mask in masks])
        return torch.from_numpy(self._place(masks, scaled.astype(np.float32)))[:, None]

    def coverage(self, masks: np.ndarray) -> Tensor:
        """bool N x H x W -> float32 N x 1 x h x w in [0, 1]: the share of each frame pixel that the mask covers."""
        scaled = np.stack([self._scaled(mask.astype(np.float32)) for mask in masks])
        return torch.from_numpy(self._place(masks, scaled))[:, None]

    def labels(self, labels: np.ndarray) -> Tensor:
        """uint8 N x H x W -> int64 N x h x w, by nearest neighbour."""
        scaled = np.stack([cv2.resize(x, (self.width, self.height), interpolation=cv2.INTER_NEAREST) for x in labels])
        return torch.from_numpy(self._place(labels, scaled).astype(np.int64))

    @property
    def shrinks(self) -> bool:
        """Whether the frame has less detail than the image."""
        return (self.height, self.width) < (self.image_height, self.image_width)

    def back(self, values: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
        """Resize N x h x w (x C) in the frame to N x H x W (x C) at the image's size."""
        inside = values[:, self.top : self.top + self.height, self.left : self.left + self.width]
        if (self.height, self.width) == (self.image_height, self.image_width):
            return inside
        size = (self.image_width, self.image_height)
        return np.stack([cv2.resize(np.ascontiguousarray(x), size, interpolation=interpolation) for x in inside])

    def _scaled(self, value: np.ndarray) -> np.ndarray:
        if value.shape[:2] == (self.height, self.width):
            return value
        how = cv2.INTER_AREA if self.height < value.shape[0] else cv2.INTER_LINEAR
        return cv2.resize(value, (self.width, self.height), interpolation=how)

    def _place(self, like: np.ndarray, scaled: np.ndarray) -> np.ndarray:
        framed = np.zeros((len(like), self.frame_height, self.frame_width, *like.shape[3:]), scaled.dtype)
        framed[:, self.top : self.top + self.height, self.left : self.left + self.width] = scaled
        return framed
