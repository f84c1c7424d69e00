from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.biometrics.alignment import similarity_to_template
from trt_engines.manifest import bundled_manifest

TEMPLATE = np.array(bundled_manifest().model["sface-2021dec"].landmark_template, np.float32)


def umeyama(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The textbook way, by singular values, proper rotations only."""
    p, q = points.astype(float), wanted.astype(float)
    about_p, about_q = p - p.mean(0), q - q.mean(0)
    u, s, vt = np.linalg.svd(about_q.T @ about_p / len(p))
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (s * sign).sum() / about_p.var(0).sum()
    turn = scale * (u * sign) @ vt
    return np.column_stack([turn, q.mean(0) - turn @ p.mean(0)])


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-4_000, 4_000), st.floats(-4_000, 4_000)),
)
def test_a_moved_template_is_moved_back(angle: float, scale: float, shift: tuple[float, float]) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (TEMPLATE.astype(float) @ turn.T + shift).astype(np.float32)
    matrix = similarity_to_template(moved, TEMPLATE).astype(float)
    back = moved @ matrix[:, :2].T + matrix[:, 2]
    # The matrix is float32, and so is the place far from the origin that it moves back.
    assert np.abs(back - TEMPLATE).max() < 0.02 + 2e-3 / scale


@given(st.lists(st.tuples(st.floats(0, 1_920), st.floats(0, 1_080)), min_size=5, max_size=5))
def test_it_is_umeyamas_least_squares_similarity(points: list[tuple[float, float]]) -> None:
    landmarks = np.array(points, np.float32)
    if landmarks.std(axis=0).sum() < 1:
        return
    expected = umeyama(landmarks, TEMPLATE)
    matrix = similarity_to_template(landmarks, TEMPLATE)
    # Where points agree with no turn at all, every turn is as good as another; compare what is left over.
    errors = [np.square(landmarks @ m[:, :2].T + m[:, 2] - TEMPLATE).sum() for m in (expected, matrix)]
    assert errors[1] <= errors[0] * 1.001 + 0.01


def test_many_are_aligned_as_one_by_one() -> None:
    landmarks = np.random.default_rng(3).uniform(0, 800, (7, 5, 2)).astype(np.float32)
    together = similarity_to_template(landmarks, TEMPLATE)
    assert together.shape == (7, 2, 3)
    assert together.dtype == np.float32
    for one, all_of_them in zip(landmarks, together, strict=True):
        np.testing.assert_allclose(similarity_to_template(one, TEMPLATE), all_of_them, rtol=1e-5, atol=1e-4)
    assert similarity_to_template(landmarks[:0], TEMPLATE).shape == (0, 2, 3)


def test_a_face_in_a_mirror_is_not_reflected() -> None:
    mirrored = TEMPLATE * np.array([-1, 1], np.float32)
    matrix = similarity_to_template(mirrored, TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_five_landmarks_in_one_point_are_only_shifted() -> None:
    matrix = similarity_to_template(np.full((5, 2), 40, np.float32), TEMPLATE)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2))
    assert np.isfinite(matrix).all()


def test_it_aligns_as_opencvs_recogniser_does(published: dict[str, bytes]) -> None:
    rng = np.random.default_rng(11)
    recogniser = cv2.FaceRecognizerSF.create(
        "onnx", np.frombuffer(published["embedder"], np.uint8), np.empty(0, np.uint8)
    )
    picture = cv2.GaussianBlur(rng.integers(0, 256, (360, 480, 3), dtype=np.uint8), (0, 0), 4)
    for _ in range(10):
        turn = cv2.getRotationMatrix2D((56, 70), rng.uniform(-30, 30), rng.uniform(0.7, 2.0))
        landmarks = (TEMPLATE @ turn[:, :2].T + turn[:, 2] + (180, 120) + rng.normal(0, 2, (5, 2))).astype(np.float32)
        face = np.concatenate([[100, 60, 120, 160], landmarks.ravel(), [0.9]]).astype(np.float32)
        theirs = recogniser.alignCrop(picture, face[None])
        ours = cv2.warpAffine(picture, similarity_to_template(landmarks, TEMPLATE), (112, 112))
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_landmarks_do_not_raise(value: float) -> None:
    landmarks = TEMPLATE.copy()
    landmarks[2, 1] = value
    with np.errstate(invalid="ignore"):
        assert similarity_to_template(landmarks, TEMPLATE).shape == (2, 3)
