"""sRGB to CIE Lab, and the CIEDE2000 colour difference."""

from __future__ import annotations

import numpy as np

# sRGB (IEC 61966-2-1) to XYZ, and the D65 / 2 degree white point.
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], dtype=np.float64
)
_WHITE = np.array([0.95047, 1.0, 1.08883], dtype=np.float64)
_25_POW_7 = 25.0**7


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Colours (..., 3) float64 in [0, 255] as CIE Lab (D65, 2 degrees), float64 (..., 3)."""
    unit = np.asarray(rgb, dtype=np.float64) / 255.0
    linear = np.where(unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 difference (kL = kC = kH = 1) of Lab colours (..., 3), float64 (...).

    Source: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", Color Research and Application, 2005.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(first, dtype=np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, dtype=np.float64), -1, 0)
    mean_chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - np.sqrt(mean_chroma7 / (mean_chroma7 + _25_POW_7)))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1) % (2 * np.pi), np.arctan2(b2, a2) % (2 * np.pi)
    grey = c1 * c2 == 0

    turn = h2 - h1
    turn = np.where(turn > np.pi, turn - 2 * np.pi, np.where(turn < -np.pi, turn + 2 * np.pi, turn))
    turn = np.where(grey, 0.0, turn)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)

    total = h1 + h2
    across = np.abs(h1 - h2) > np.pi
    wrapped = np.where(total < 2 * np.pi, total + 2 * np.pi, total - 2 * np.pi)
    hue = np.where(grey, total, np.where(across, wrapped, total) / 2)
    weight_t = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.pi / 30)
        - 0.20 * np.cos(4 * hue - np.deg2rad(63))
    )
    light50 = ((l1 + l2) / 2 - 50) ** 2
    scale_l = 1 + 0.015 * light50 / np.sqrt(20 + light50)
    chroma = (c1 + c2) / 2
    scale_c = 1 + 0.045 * chroma
    scale_h = 1 + 0.015 * chroma * weight_t
    rotation = (
        -2
        * np.sqrt(chroma**7 / (chroma**7 + _25_POW_7))
        * np.sin(np.deg2rad(60) * np.exp(-(((np.rad2deg(hue) - 275) / 25) ** 2)))
    )
    d_l, d_c, d_h = (l2 - l1) / scale_l, (c2 - c1) / scale_c, d_hue / scale_h
    return np.sqrt(np.maximum(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h, 0.0))
