"""Frames, detections and tracks: what the eye knows before it has decided anything.

A type in this module describes a passer-by who may well be nobody's business: none of them has a serialiser, a
``__repr__`` with content, or a way to disk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.model.units import BootNs

Pixels = NDArray[np.uint8]
"""``(height, width, 3)`` BGR, 0-255, C-contiguous."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFormat:
    """What a source delivers.

    Attributes:
        width: Pixels, 1 to 7680.
        height: Pixels, 1 to 4320.
        frames_per_second: Nominal rate; 0 when the source does not say.
    """

    width: int
    height: int
    frames_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStamp:
    """When a frame was taken.

    Attributes:
        index: Frames delivered before this one, from 0.
        captured_at: Boot clock at the moment of capture (for a file: of decoding).
        media_time_s: Position in the file, for sources that have one; seconds since opening otherwise.
    """

    index: int
    captured_at: BootNs
    media_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture, borrowed from the fixed pool and zeroed when it is given back."""

    pixels: Pixels
    stamp: FrameStamp

    def __repr__(self) -> str:
        return f"Frame(index={self.stamp.index})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """Faces found in one frame, best first, as parallel arrays of length n.

    Attributes:
        boxes: ``(n, 4)`` float32, x, y, width, height in pixels of the frame; may reach over its edge.
        landmarks: ``(n, 5, 2)`` float32, x, y of right eye, left eye, nose tip, right and left mouth corner (the
            person's right, so the eye at the left of the picture first).
        scores: ``(n,)`` float32, detector confidence, 0 to 1.
    """

    boxes: Floats
    landmarks: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Detections(n={len(self.boxes)})"
