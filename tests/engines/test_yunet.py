from __future__ import annotations

import math
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.adapters.onnxruntime_engine import OnnxRuntimeEngine
from appliance.biometrics.yunet import OUTPUTS, STRIDES, decode_detections, suppress
from appliance.errors import InvariantError
from trt_engines.photographs import photograph

SIZES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def silence(width: int, height: int) -> dict[str, np.ndarray]:
    """Outputs for a picture without a face."""
    padded = (-(-width // 32) * 32, -(-height // 32) * 32)
    return {
        f"{kind}_{stride}": np.zeros((1, (padded[0] // stride) * (padded[1] // stride), values), np.float32)
        for kind, values in SIZES.items()
        for stride in STRIDES
    }


def decode(outputs: dict[str, np.ndarray], width: int, height: int, **changes: float):
    limits = {"score_min": 0.5, "nms_iou": 0.3, "top_k": 100} | changes
    return decode_detections(outputs, width=width, height=height, **limits)


def plainly(outputs: dict[str, np.ndarray], width: int, height: int, score_min: float) -> list[list[float]]:
    """Every face above the threshold, cell by cell, as the paper says; no suppression."""
    faces = []
    for stride in STRIDES:
        columns, rows = -(-width // 32) * 32 // stride, -(-height // 32) * 32 // stride
        for row in range(rows):
            for column in range(columns):
                cell = row * columns + column
                score = math.sqrt(outputs[f"cls_{stride}"][0, cell, 0] * outputs[f"obj_{stride}"][0, cell, 0])
                if score < score_min:
                    continue
                dx, dy, lw, lh = outputs[f"bbox_{stride}"][0, cell].tolist()
                w, h = math.exp(lw) * stride, math.exp(lh) * stride
                box = [(column + dx) * stride - w / 2, (row + dy) * stride - h / 2, w, h]
                points = outputs[f"kps_{stride}"][0, cell].reshape(5, 2).tolist()
                faces.append(
                    [*box, *(v for x, y in points for v in ((x + column) * stride, (y + row) * stride)), score]
                )
    return sorted(faces, key=lambda face: -face[-1])


def test_a_picture_without_a_face_has_no_detections() -> None:
    found = decode(silence(100, 70), 100, 70)
    assert len(found) == 0
    assert (found.boxes.shape, found.landmarks.shape, found.scores.shape) == ((0, 4), (0, 5, 2), (0,))
    assert {array.dtype.name for array in (found.boxes, found.landmarks, found.scores)} == {"float32"}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.integers(1, 150))
def test_it_decodes_as_a_plain_reading_of_the_paper(seed: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    outputs = {
        name: rng.normal(0, 0.7, array.shape).astype(np.float32) for name, array in silence(width, height).items()
    }
    for name in outputs:
        if name.startswith(("cls", "obj")):
            outputs[name] = rng.uniform(0, 1, outputs[name].shape).astype(np.float32)
    expected = plainly(outputs, width, height, 0.8)
    found = decode(outputs, width, height, score_min=0.8, nms_iou=1.0, top_k=10_000)
    assert abs(len(found) - len(expected)) <= 1  # a score on the threshold itself may round either way
    if len(found) == len(expected):
        flat = np.concatenate([found.boxes, found.landmarks.reshape(-1, 10), found.scores[:, None]], axis=1)
        np.testing.assert_allclose(flat, np.array(expected).reshape(-1, 15), rtol=1e-3, atol=1e-2)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_suppression_leaves_boxes_that_hardly_overlap_and_drops_none_without_reason(seed: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 100, (30, 2)), rng.uniform(5, 50, (30, 2))], axis=1).astype(np.float32)
    kept = suppress(boxes, nms_iou=limit, top_k=100).tolist()
    assert kept[0] == 0
    for index in range(30):
        rivals = [overlap(boxes[index], boxes[k]) for k in kept if k < index]
        assert (index in kept) == all(value <= limit + 1e-6 for value in rivals) or any(
            abs(value - limit) < 1e-5 for value in rivals
        )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    across = max(0.0, float(min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])))
    down = max(0.0, float(min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])))
    return across * down / float(a[2] * a[3] + b[2] * b[3] - across * down)


def test_no_more_than_top_k_come_back_and_the_best_first() -> None:
    boxes = np.array([[40 * i, 0, 30, 30] for i in range(20)], np.float32)
    assert suppress(boxes, nms_iou=0.3, top_k=7).tolist() == list(range(7))
    outputs = silence(640, 64)
    for index, cell in enumerate(range(0, 80, 8)):
        outputs["cls_8"][0, cell] = outputs["obj_8"][0, cell] = 0.6 + index / 50
    found = decode(outputs, 640, 64, top_k=4)
    assert len(found) == 4
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_not_a_number_is_not_a_face(name: str, value: float) -> None:
    outputs = silence(64, 64)
    stride = name.split("_")[1]
    outputs[f"cls_{stride}"][0, 0] = outputs[f"obj_{stride}"][0, 0] = 0.9
    outputs[name][0, 0] = value
    found = decode(outputs, 64, 64)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.landmarks).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_a_probability_above_one_is_no_score_above_one() -> None:
    outputs = silence(64, 64)
    outputs["cls_32"][0, 1] = outputs["obj_32"][0, 1] = 1.5
    assert decode(outputs, 64, 64).scores.tolist() == [1.0]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_missing_output_is_a_bug_of_ours(name: str) -> None:
    outputs = silence(64, 64)
    del outputs[name]
    with pytest.raises(InvariantError, match=name):
        decode(outputs, 64, 64)


def test_outputs_of_another_picture_size_are_a_bug_of_ours() -> None:
    with pytest.raises(InvariantError, match="should be"):
        decode(silence(64, 64), 128, 64)


@pytest.mark.parametrize("name", ["five-friends", "city", "six-at-cards", "portraits", "astronaut"])
def test_it_finds_what_opencvs_detector_finds(
    name: str, cache, detector: OnnxRuntimeEngine, published: dict[str, bytes]
) -> None:
    picture = cv2.imread(str(photograph(name, cache)))
    height, width = picture.shape[:2]
    model = np.frombuffer(published["detector"], np.uint8)
    judge = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), (width, height), 0.7, 0.3, 5_000)
    faces = judge.detect(picture)[1]
    found = decode(detector.run(picture[None]), width, height, score_min=0.7)
    assert len(found) == len(faces) > 0
    np.testing.assert_allclose(found.boxes, faces[:, :4], atol=0.05)
    np.testing.assert_allclose(found.landmarks.reshape(-1, 10), faces[:, 4:14], atol=0.05)
    np.testing.assert_allclose(found.scores, faces[:, 14], atol=1e-4)


def test_a_crowded_frame_of_the_camera_is_decoded_in_milliseconds() -> None:
    rng = np.random.default_rng(2)
    outputs = silence(1280, 720)
    for cell in rng.integers(0, 14_720, 300):
        outputs["cls_8"][0, cell] = outputs["obj_8"][0, cell] = 0.9
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        decode(outputs, 1280, 720)
        taken.append(time.perf_counter() - start)
    # 0.4 ms for a street on the machine it was written on; this is the crowd, on any machine.
    assert min(taken) < 0.02
