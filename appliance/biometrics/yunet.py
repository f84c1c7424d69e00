"""What YuNet's outputs mean: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", MIR 20, 2023.

At each stride s of 8, 16 and 32 the picture is a grid of cells; each cell says: class and objectness (probabilities),
a box (centre relative to the cell, logarithm of its size, both in units of s) and five landmarks (in the same units).
The score is the geometric mean of class and objectness. OpenCV's FaceDetectorYN decodes in the same way.

Rules of this module:
    1. Cells below the threshold are dropped before anything else is computed; on a street that is nearly all.
    2. What a damaged model gives (NaN, infinity) is never a face.
    3. At most ``CANDIDATES_MAX`` cells, the best, enter the suppression.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.errors import InvariantError
from appliance.model.frames import Detections, Floats

STRIDES = (8, 16, 32)
CANDIDATES_MAX = 5_000
LOG_SIZE_MAX = 8.0
"""A box of e^8 cells is wider than any picture; beyond it the exponential would overflow."""

OUTPUTS = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)

_Indices = NDArray[np.intp]


def decode_detections(
    outputs: dict[str, Floats], *, width: int, height: int, score_min: float, nms_iou: float, top_k: int
) -> Detections:
    """Return the faces in the outputs for one picture, best first.

    Args:
        outputs: Twelve arrays by name (``OUTPUTS``), each ``(1, cells, k)``; cells row by row.
        width: Of the picture in pixels, before it was padded to a multiple of 32.
        height: Likewise.
        score_min: Least score, above 0 and at most 1.
        nms_iou: Of two boxes that overlap more than this (intersection over union), the better one stays.
        top_k: At most so many faces are returned.

    Raises:
        InvariantError: An output is missing or has another shape than the picture's size asks for.
    """
    levels = [_level(outputs, stride, -(-width // 32) * 32, -(-height // 32) * 32, score_min) for stride in STRIDES]
    boxes, landmarks, scores = (np.concatenate(parts) for parts in zip(*levels, strict=True))
    # Stable, so that equal scores keep the order of the grid, as in OpenCV.
    order = np.argsort(-scores, kind="stable")[:CANDIDATES_MAX]
    kept = order[suppress(boxes[order], nms_iou=nms_iou, top_k=top_k)]
    return Detections(boxes=boxes[kept], landmarks=landmarks[kept], scores=scores[kept])


def suppress(boxes: Floats, *, nms_iou: float, top_k: int) -> _Indices:
    """Return which boxes stay: greedily the first, then the first that overlaps none of those, and so on.

    Args:
        boxes: ``(n, 4)`` x, y, width, height, best first.
        nms_iou: Greatest intersection over union of two boxes that stay.
        top_k: At most so many stay.

    Returns:
        ``(m,)`` indices, ascending.
    """
    left, top = boxes[:, 0], boxes[:, 1]
    right, bottom = left + boxes[:, 2], top + boxes[:, 3]
    area = boxes[:, 2] * boxes[:, 3]
    rest = np.arange(len(boxes))
    kept: list[int] = []
    while len(rest) and len(kept) < top_k:
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        across = np.minimum(right[rest], right[best]) - np.maximum(left[rest], left[best])
        down = np.minimum(bottom[rest], bottom[best]) - np.maximum(top[rest], top[best])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        rest = rest[shared <= nms_iou * (area[rest] + area[best] - shared)]
    return np.array(kept, np.intp)


def _level(
    outputs: dict[str, Floats], stride: int, width: int, height: int, score_min: float
) -> tuple[Floats, Floats, Floats]:
    """Return boxes, landmarks and scores of the cells of one stride that reach the threshold."""
    columns = width // stride
    cells = columns * (height // stride)
    classes, objects = (_column(outputs, kind, stride, cells, 1)[:, 0] for kind in ("cls", "obj"))
    product = classes * objects
    # A NaN compares false. The clip keeps a probability of 1.0000001 from becoming a score above 1.
    found = np.flatnonzero(product >= score_min * score_min)
    scores = np.sqrt(np.minimum(product[found], 1.0))
    box = _column(outputs, "bbox", stride, cells, 4)[found]
    points = _column(outputs, "kps", stride, cells, 10)[found]
    origin = np.stack([found % columns, found // columns], axis=1).astype(np.float32)
    size = np.exp(np.minimum(box[:, 2:], LOG_SIZE_MAX)) * stride
    corner = (origin + box[:, :2]) * stride - size / 2
    landmarks = (points.reshape(-1, 5, 2) + origin[:, None]) * stride
    boxes = np.concatenate([corner, size], axis=1)
    sane = np.isfinite(boxes).all(axis=1) & np.isfinite(landmarks).all(axis=(1, 2))
    if sane.all():
        return boxes, landmarks, scores
    return boxes[sane], landmarks[sane], scores[sane]


def _column(outputs: dict[str, Floats], kind: str, stride: int, cells: int, values: int) -> Floats:
    found = outputs.get(f"{kind}_{stride}")
    if found is None or found.shape != (1, cells, values):
        shape = None if found is None else found.shape
        raise InvariantError(f"the detector's {kind}_{stride} should be (1, {cells}, {values}); found {shape}")
    cells_first: Floats = found[0]
    return cells_first
