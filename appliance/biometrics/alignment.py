"""From five landmarks to the picture that an embedder wants to see.

The least-squares similarity (turn, scale, shift; no reflection) of Umeyama, TPAMI 13(4), 1991. In the plane it has a
closed form: with points as complex numbers, ``a = sum(conj(p) q) / sum(|p|^2)`` about the two means.
"""

from __future__ import annotations

import numpy as np

from appliance.model.frames import Floats

SPREAD_MIN = 1e-6
"""Landmarks nearer to each other than this (pixels, squared, in all) have no direction; they are only shifted."""


def similarity_to_template(landmarks: Floats, template: Floats) -> Floats:
    """Return the matrix that moves landmarks of a frame onto those of a template.

    Args:
        landmarks: ``(5, 2)`` or ``(n, 5, 2)`` x, y in pixels of the frame.
        template: ``(5, 2)`` x, y in pixels of the aligned face.

    Returns:
        ``(2, 3)`` or ``(n, 2, 3)`` float32, from frame to aligned face, as ``cv2.warpAffine`` takes it.
    """
    points = landmarks[..., 0].astype(np.float64) + 1j * landmarks[..., 1].astype(np.float64)
    wanted = template[:, 0].astype(np.float64) + 1j * template[:, 1].astype(np.float64)
    centre, wanted_centre = points.mean(axis=-1), wanted.mean()
    about = points - centre[..., None]
    spread = (about.real**2 + about.imag**2).sum(axis=-1)
    turn = (about.conj() @ (wanted - wanted_centre)) / np.maximum(spread, SPREAD_MIN)
    turn = np.where(spread > SPREAD_MIN, turn, 1.0)
    shift = wanted_centre - turn * centre
    matrix = np.empty((*landmarks.shape[:-2], 2, 3), np.float32)
    matrix[..., 0, 0] = matrix[..., 1, 1] = turn.real
    matrix[..., 1, 0] = turn.imag
    matrix[..., 0, 1] = -turn.imag
    matrix[..., 0, 2], matrix[..., 1, 2] = shift.real, shift.imag
    return matrix
