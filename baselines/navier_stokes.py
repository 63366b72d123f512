"""navier-stokes: OpenCV's fluid-dynamics inpainting, from the visible person inwards."""

from __future__ import annotations

import cv2

from deocc_bench.baselines.telea import Telea


class NavierStokes(Telea):
    """As `telea`, but lines of equal brightness are continued into the hole as streamlines.

    Source: Bertalmio, Bertozzi & Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting" (CVPR 2001);
    cv2.inpaint.
    """

    name = "navier-stokes"
    flag = cv2.INPAINT_NS
