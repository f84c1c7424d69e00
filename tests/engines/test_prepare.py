from __future__ import annotations

import hashlib
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from networks_for_tests import own_embedder, run

from appliance.adapters.onnxruntime_engine import OnnxRuntimeEngine
from appliance.errors import ConfigError
from appliance.model.model_card import parse_card
from trt_engines.manifest import Manifest, bundled_manifest, parse_manifest
from trt_engines.prepare import ModelPaths, ensure_prepared, prepare


def own_manifest(folder: Path, model: bytes, *, extra: str = "") -> Manifest:
    (folder / "own.onnx").write_bytes(model)
    text = f"""
        [model.own]
        role = "embedder"
        path = "own.onnx"
        sha256 = "{hashlib.sha256(model).hexdigest()}"
        source = "ours"
        licence = "proprietary"
        licence_note = "ours alone"
        convention = "feature"
        dimension = 8
        landmark_template = [[5.0, 6.0], [11.0, 6.0], [8.0, 9.0], [6.0, 12.0], [10.0, 12.0]]
        {extra}
        [model.own.input]
        width = 16
        height = 16
        colour = "rgb"
        mean = [127.5, 127.5, 127.5]
        scale = [0.01, 0.02, 0.03]
    """
    return parse_manifest("\n".join(line.strip() for line in text.splitlines()).encode(), "own.toml")


def test_the_bundled_models_are_prepared_and_left_alone_the_second_time(models: ModelPaths, cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in models.detector.parent.iterdir()}
    start = time.perf_counter()
    assert ensure_prepared(cache) == models
    assert time.perf_counter() - start < 1.0
    assert {path: path.stat().st_mtime_ns for path in models.detector.parent.iterdir()} == before
    card = parse_card(models.embedder.read_bytes())
    assert (card.dimension, card.size.width, card.licence) == (128, 112, "Apache-2.0")
    assert card.source_sha256 == bundled_manifest().model["sface-2021dec"].sha256


def test_a_customers_own_model_is_an_entry_and_no_code(tmp_path: Path) -> None:
    published = own_embedder()
    done = prepare(own_manifest(tmp_path, published), "own", folder=tmp_path, cache=tmp_path / "cache")
    assert done.fresh
    images = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    rgb = (images[..., ::-1].astype(np.float32) - 127.5) * np.array([0.01, 0.02, 0.03], np.float32)
    (found,) = OnnxRuntimeEngine(done.card_path).run(images).values()
    for one, feature in zip(rgb, found, strict=True):
        expected = run(published, np.ascontiguousarray(one.transpose(2, 0, 1))[None])["feature"][0]
        np.testing.assert_allclose(feature, expected, rtol=1e-3, atol=1e-4)


def test_the_same_file_makes_the_same_bytes(tmp_path: Path) -> None:
    manifest = own_manifest(tmp_path, own_embedder())
    cards = [prepare(manifest, "own", folder=tmp_path, cache=tmp_path / cache).card for cache in ("a", "b")]
    assert cards[0] == cards[1]


@pytest.mark.parametrize("spoiled", ["own.onnx", "own.ort-cpu.onnx", "own.json"])
@pytest.mark.parametrize("how", ["altered", "truncated", "gone"])
def test_a_spoiled_prepared_file_is_made_again(tmp_path: Path, spoiled: str, how: str) -> None:
    manifest = own_manifest(tmp_path, own_embedder())
    first = prepare(manifest, "own", folder=tmp_path, cache=tmp_path / "cache")
    path = first.card_path.with_name(spoiled)
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if how == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    again = prepare(manifest, "own", folder=tmp_path, cache=tmp_path / "cache")
    assert again.fresh
    assert path.read_bytes() == content
    assert not prepare(manifest, "own", folder=tmp_path, cache=tmp_path / "cache").fresh


def test_another_entry_of_the_same_name_is_prepared_anew(tmp_path: Path) -> None:
    prepare(own_manifest(tmp_path, own_embedder()), "own", folder=tmp_path, cache=tmp_path)
    assert prepare(own_manifest(tmp_path, own_embedder(seed=6)), "own", folder=tmp_path, cache=tmp_path).fresh
    noted = own_manifest(tmp_path, own_embedder(seed=6), extra="default = true")
    assert prepare(noted, "own", folder=tmp_path, cache=tmp_path).fresh


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    manifest = own_manifest(tmp_path, b"not a model")
    with pytest.raises(ConfigError, match="not an ONNX model"):
        prepare(manifest, "own", folder=tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_template_outside_the_picture_is_refused_before_a_card_is_written(tmp_path: Path) -> None:
    text = own_manifest(tmp_path, own_embedder())
    entry = text.model["own"]
    wide = msgspec.structs.replace(entry, landmark_template=((50.0, 6.0), *entry.landmark_template[1:]))
    with pytest.raises(ConfigError, match="a landmark of the template lies outside"):
        prepare(msgspec.structs.replace(text, model={"own": wide}), "own", folder=tmp_path, cache=tmp_path)
    assert not (tmp_path / "models" / "own.json").exists()


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model nobody: expected one of yunet-2023mar, sface-2021dec"):
        prepare(bundled_manifest(), "nobody", folder=tmp_path, cache=tmp_path)
