"""Coats, scarves and hoods for people of whom only a head-and-shoulders photograph exists.

Rules of this module:
    1. Everything is drawn in face widths around the chin: x to the right, y down; the same seed draws the same cloth.
    2. A garment is premultiplied BGRA on the common canvas (``CANVAS``), the chin at ``CHIN``.
    3. Randomness is numpy's frozen ``RandomState`` stream, so that numpy's version does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]
Points = Sequence[tuple[float, float]]

FACE_PX = 128
"""Width of a face on the canvas; a face that is shown larger is enlarged."""

CANVAS = (608, 1600)
"""Width and height of the canvas in pixels."""

CHIN = (304.0, 330.0)

_TORSO: Points = [(-0.34, 0.08), (-0.66, 0.28), (-1.06, 0.52), (-1.22, 0.95), (-1.1, 3.0), (-1.14, 4.6), (-1.2, 6.4)]
_ARM: Points = [(-0.92, 0.48), (-1.2, 0.66), (-1.4, 1.2), (-1.5, 2.6), (-1.46, 4.3), (-1.1, 4.4), (-1.04, 2.6)]
_GLOVE: Points = [(-1.12, 4.36), (-1.44, 4.34), (-1.48, 4.7), (-1.38, 5.0), (-1.2, 5.04), (-1.1, 4.7)]
_LEG: Points = [(-1.02, 5.8), (-0.95, 8.0), (-0.88, 9.9), (-0.14, 9.9), (-0.02, 6.4), (-0.02, 5.8)]
_LAPEL: Points = [(-0.3, 0.04), (-0.64, 0.24), (-0.5, 0.95), (-0.03, 1.45), (0.0, 0.95)]
_VEE: Points = [(-0.29, 0.0), (-0.3, 0.14), (0.0, 0.98), (0.3, 0.14), (0.29, 0.0)]
_HOOD: Points = [
    (-0.7, 0.5),
    (-0.62, 0.1),
    (-0.66, -0.4),
    (-0.66, -0.8),
    (-0.58, -1.15),
    (-0.42, -1.42),
    (-0.2, -1.58),
    (0.0, -1.62),
]


def mirrored(half: Points) -> Points:
    """Return an outline whose left half goes from the top down, closed by its mirror image."""
    return [*half, *((-x, y) for x, y in reversed(half))]


def polygon_mask(points: Points, soft_px: float = 1.2) -> Plane:
    """Return a ``CANVAS`` sized plane, 1 inside the outline (in face widths around the chin) and soft at its edge."""
    mask = np.zeros(CANVAS[::-1], np.uint8)
    corners = np.array([[CHIN[0] + x * FACE_PX, CHIN[1] + y * FACE_PX] for x, y in points])
    cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft_px) / np.float32(255), np.float32)


class Tailor:
    """Draws garments; one for each person."""

    def __init__(self, seed: int, build: float) -> None:
        self._random = np.random.RandomState(seed)
        self._build = build
        width, height = CANVAS
        self._x = ((np.arange(width, dtype=np.float32) - CHIN[0]) / FACE_PX)[None, :]
        self._y = ((np.arange(height, dtype=np.float32) - CHIN[1]) / FACE_PX)[:, None]
        self._cloth = self._weave()

    def _weave(self) -> Plane:
        """Return the relative brightness of cloth: long folds and a fine grain."""
        width, height = CANVAS
        folds = self._random.randint(0, 256, (height // 130, width // 22)).astype(np.uint8)
        creases = self._random.randint(0, 256, (height // 40, width // 9)).astype(np.uint8)
        grain = self._random.randint(0, 256, (height, width)).astype(np.uint8)
        long = cv2.resize(folds, CANVAS, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255 - 0.5
        fine = cv2.GaussianBlur(grain, (0, 0), 0.9).astype(np.float32) / 255 - 0.5
        creased = cv2.resize(creases, CANVAS, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255 - 0.5
        return (1 + 0.3 * long + 0.09 * creased + 0.26 * fine).astype(np.float32)

    def _round(self, centre: float, half: float) -> Plane:
        """Return the shading of an upright cylinder that is lit from the upper left."""
        across = np.clip((self._x - centre) / half, -1.2, 1.2)
        down = np.clip(self._y, 0, 9) / 9
        return np.asarray((1.12 - 0.42 * across**2 - 0.16 * across) * (1.05 - 0.3 * down) * self._cloth, np.float32)

    def _lay(self, canvas: Plane, points: Points, colour: Sequence[int], shade: Plane, soft_px: float = 1.2) -> None:
        wide = [(x * self._build if y > 0.3 else x, y) for x, y in points]
        mask = polygon_mask(wide, soft_px)
        left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
        area = (slice(top, top + height), slice(left, left + width))
        inside = mask[area][..., None]
        pale = 0.78 * np.array(colour, np.float32) + np.float32(0.22 * float(np.mean(colour)))
        paint = np.full((height, width, 4), 255, np.float32)
        paint[..., :3] = np.clip(pale * shade[area][..., None], 0, 255)
        canvas[area] += (paint - canvas[area]) * inside

    def under(self, colour: Sequence[int]) -> Image:
        """Return what lies behind the head: a shirt, as the upper part of a canvas."""
        canvas = _blank()
        shirt = [int(70 + c * 0.5) for c in colour]
        self._lay(canvas, mirrored([(-0.34, -0.1), (-0.6, 0.5), (-0.6, 1.5)]), shirt, self._round(0, 1.4))
        return np.ascontiguousarray(canvas[: rows_above(1.6)].astype(np.uint8))

    def coat(self, colour: Sequence[int], *, open_at_neck: bool) -> Image:
        """Return a coat with lapels and buttons over trousers; with a gap at the neck if ``open_at_neck``."""
        canvas = self._coat_from_behind(colour)
        darker = [c // 3 for c in colour]
        self._lay(canvas, mirrored([(-0.016, 1.3), (-0.016, 6.4)]), darker, self._cloth)
        for number in range(5):
            top = 1.6 + number * 0.85
            button = [(0.1, top), (0.17, top), (0.17, top + 0.07), (0.1, top + 0.07)]
            self._lay(canvas, button, [c // 4 for c in colour], self._cloth, 1.6)
        lighter = [min(255, int(c * 1.12) + 5) for c in colour]
        for side in (-1.0, 1.0):
            lapel = [(side * x, y) for x, y in _LAPEL]
            self._lay(canvas, [(x, y + 0.05) for x, y in lapel], [c // 2 for c in colour], self._cloth, 3)
            self._lay(canvas, lapel, lighter, self._round(side * -0.45, 0.9))
        if open_at_neck:
            canvas *= 1 - polygon_mask(_VEE)[..., None]
        return canvas.astype(np.uint8)

    def _coat_from_behind(self, colour: Sequence[int]) -> Plane:
        """Return trousers, a plain coat with sleeves, and gloves."""
        canvas = _blank()
        dark = [int(c * 0.45) + 12 for c in colour]
        for side in (-1.0, 1.0):
            leg = [(side * x, y) for x, y in _LEG]
            self._lay(canvas, leg, dark, self._round(side * -0.5, 0.8))
        self._lay(canvas, mirrored(_TORSO), colour, self._round(0, 1.5))
        for side in (-1.0, 1.0):
            arm = [(side * x, y) for x, y in _ARM]
            self._lay(canvas, [(x + side * 0.06, y) for x, y in arm], [c // 2 for c in colour], self._cloth, 4)
            self._lay(canvas, arm, colour, self._round(side * -1.25, 0.42), 2)
            glove = [(side * x, y) for x, y in _GLOVE]
            self._lay(canvas, glove, [34, 34, 38], self._round(side * -1.28, 0.3), 2)
        return canvas

    def scarf(self, colour: Sequence[int]) -> Image:
        """Return a wide knitted scarf, to be worn over the coat."""
        canvas = _blank()
        ring = mirrored(
            [(0.0, 0.13), (-0.3, 0.05), (-0.5, -0.12), (-0.72, 0.16), (-0.66, 0.5), (-0.34, 0.78), (0, 0.84)]
        )
        bands = 1 + 0.2 * np.sin((self._y - 0.35 * self._x**2) * 17) + 0.08 * np.sin(self._x * 60)
        self._lay(canvas, ring, colour, np.asarray(self._round(0, 0.95) * bands, np.float32), 2.5)
        return canvas.astype(np.uint8)

    def hood(self, colour: Sequence[int]) -> Image:
        """Return somebody seen from behind with a hood up: no face at all."""
        canvas = self._coat_from_behind(colour)
        self._lay(canvas, mirrored(_HOOD), colour, self._round(0, 0.85), 3)
        return canvas.astype(np.uint8)

    def cap(self, colour: Sequence[int], top: float) -> Image:
        """Return a knitted cap whose rim is at ``top`` (face widths above the chin, as a negative number)."""
        canvas = _blank()
        crown = [(-0.62, top + 0.2), (-0.66, top - 0.1), (-0.54, top - 0.4), (-0.26, top - 0.56), (0.0, top - 0.59)]
        knit = 1 + 0.16 * np.sin(self._x * 70)
        shade = np.asarray(self._round(0, 0.8) * knit, np.float32)
        brim = [(0.36, top + 0.06), (0.0, top + 0.02), (-0.36, top + 0.06)]
        self._lay(canvas, [*mirrored(crown), *brim], colour, shade, 1.6)
        rim = [(-0.63, top + 0.22), (-0.65, top - 0.04), (-0.3, top - 0.16), (0.0, top - 0.19)]
        self._lay(canvas, [*mirrored(rim), *brim], [int(c * 0.8) for c in colour], shade, 1.6)
        return canvas.astype(np.uint8)


def rows_above(below_chin: float) -> int:
    """Return how many rows of the canvas lie above a height given in face widths below the chin."""
    return min(CANVAS[1], int(CHIN[1] + below_chin * FACE_PX) // 16 * 16)


def over(lower: Image, upper: Image) -> Image:
    """Return ``upper`` laid over ``lower``, both premultiplied BGRA of one size."""
    rest = cv2.merge([255 - upper[..., 3]] * 4)
    return cv2.add(cv2.multiply(lower, rest, scale=1 / 255), upper).astype(np.uint8, copy=False)


def _blank() -> Plane:
    return np.zeros((CANVAS[1], CANVAS[0], 4), np.float32)
