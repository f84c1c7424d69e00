from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from appliance.adapters.onnxruntime_engine import BATCH_MAX, OnnxRuntimeEngine
from appliance.biometrics.yunet import OUTPUTS
from appliance.errors import ConfigError
from appliance.model.model_card import parse_card
from appliance.ports.inference import InferenceEngine
from trt_engines.prepare import ModelPaths


@pytest.fixture
def copied(models: ModelPaths, tmp_path: Path) -> Path:
    """The detector's card and models in a folder of their own."""
    for path in models.detector.parent.glob(f"{models.detector.stem}*"):
        shutil.copy(path, tmp_path)
    return tmp_path / models.detector.name


def test_it_is_an_inference_engine(detector: OnnxRuntimeEngine) -> None:
    engine: InferenceEngine = detector
    assert engine.digest == "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"


def test_an_altered_model_is_not_loaded(copied: Path) -> None:
    model = copied.with_name("yunet-2023mar.ort-cpu.onnx")
    content = bytearray(model.read_bytes())
    content[1_000] ^= 1
    model.write_bytes(content)
    expected = parse_card(copied.read_bytes()).cpu.sha256
    with pytest.raises(ConfigError) as caught:
        OnnxRuntimeEngine(copied)
    for part in (str(model), "SHA-256", expected, "lamppost engines prepare"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["yunet-2023mar.json", "yunet-2023mar.ort-cpu.onnx"])
def test_a_missing_file_is_named_with_the_remedy(copied: Path, name: str) -> None:
    copied.with_name(name).unlink()
    with pytest.raises(ConfigError, match=f"{name} cannot be read .*lamppost engines prepare"):
        OnnxRuntimeEngine(copied)


def test_a_card_that_names_no_network_is_refused(copied: Path) -> None:
    model = copied.with_name("yunet-2023mar.ort-cpu.onnx")
    card = copied.read_text()
    card = card.replace(parse_card(card.encode()).cpu.sha256, hashlib.sha256(b"nothing").hexdigest())
    model.write_bytes(b"nothing")
    copied.write_text(card)
    with pytest.raises(ConfigError, match=r"cannot load yunet-2023mar\.ort-cpu\.onnx"):
        OnnxRuntimeEngine(copied)


def test_a_card_with_other_outputs_is_refused(copied: Path) -> None:
    copied.write_text(copied.read_text().replace('"cls_8"', '"cls_4"'))
    with pytest.raises(ConfigError, match="other outputs than its card"):
        OnnxRuntimeEngine(copied)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_a_senseless_number_of_threads_is_refused(models: ModelPaths, threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads is {threads}"):
        OnnxRuntimeEngine(models.detector, threads=threads)


WRONG = {
    "one picture without a batch": np.zeros((112, 112, 3), np.uint8),
    "floats": np.zeros((1, 112, 112, 3), np.float32),
    "planes": np.zeros((1, 3, 112, 112), np.uint8),
    "grey": np.zeros((1, 112, 112, 1), np.uint8),
    "another size": np.zeros((1, 113, 112, 3), np.uint8),
    "nothing": np.zeros((0, 112, 112, 3), np.uint8),
    "too many": np.zeros((BATCH_MAX + 1, 112, 112, 3), np.uint8),
}


@pytest.mark.parametrize("case", WRONG)
def test_pictures_that_do_not_fit_are_refused_with_what_would(embedder: OnnxRuntimeEngine, case: str) -> None:
    with pytest.raises(ConfigError, match=r"sface-2021dec takes .*; found"):
        embedder.run(WRONG[case])


def test_a_frame_of_any_size_goes_in_as_it_is(detector: OnnxRuntimeEngine) -> None:
    for height, width in ((720, 1280), (33, 65), (1, 1)):
        outputs = detector.run(np.zeros((1, height, width, 3), np.uint8))
        assert set(outputs) == set(OUTPUTS)
        assert outputs["kps_32"].shape == (1, -(-height // 32) * -(-width // 32), 10)


def test_a_batch_gives_what_each_face_gives_alone(embedder: OnnxRuntimeEngine) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)
    (together,) = embedder.run(faces).values()
    together = together / np.linalg.norm(together, axis=1, keepdims=True)
    for index in range(5):
        (alone,) = embedder.run(faces[index : index + 1]).values()
        assert float(alone[0] @ together[index] / np.linalg.norm(alone)) > 0.99999


def test_the_picture_is_not_altered(detector: OnnxRuntimeEngine) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 50, 70, 3), dtype=np.uint8)
    before = picture.copy()
    detector.run(picture)
    np.testing.assert_array_equal(picture, before)


def test_scrubbing_overwrites_what_was_returned(embedder: OnnxRuntimeEngine) -> None:
    (features,) = embedder.run(np.full((2, 112, 112, 3), 90, np.uint8)).values()
    assert features.any()
    embedder.scrub()
    assert not features.any()
    embedder.scrub()
