from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ConfigError
from trt_engines.fetch import published_model
from trt_engines.manifest import MANIFEST_BYTES_MAX, bundled_manifest, parse_manifest, read_manifest

DIGEST = "a" * 64
DETECTOR = {
    "role": '"detector"',
    "path": '"own.onnx"',
    "sha256": f'"{DIGEST}"',
    "source": '"ours"',
    "licence": '"proprietary"',
    "licence_note": '"ours alone"',
    "convention": '"yunet"',
    "input": '{ colour = "bgr", multiple_of = 32 }',
}
FIVE = "[[1.0, 1.0], [3.0, 1.0], [2.0, 2.0], [1.0, 3.0], [3.0, 3.0]]"
EMBEDDER = DETECTOR | {
    "role": '"embedder"',
    "convention": '"feature"',
    "dimension": "512",
    "landmark_template": FIVE,
    "input": '{ colour = "rgb", width = 112, height = 112, mean = [9.5, 9.5, 9.5], scale = [0.1, 0.1, 0.1] }',
}


def toml(entry: dict[str, str], *, name: str = "own", extra: str = "") -> bytes:
    lines = [f"{key} = {value}" for key, value in entry.items() if value]
    return "\n".join([extra, f"[model.{name}]", *lines]).encode()


def test_the_bundled_manifest_names_a_default_for_each_role() -> None:
    manifest = bundled_manifest()
    assert manifest.default("detector") == "yunet-2023mar"
    assert manifest.default("embedder") == "sface-2021dec"
    assert manifest.model["sface-2021dec"].licence == "Apache-2.0"


def test_a_customers_own_models_are_entries() -> None:
    assert parse_manifest(toml(DETECTOR), "own.toml").default("detector") == "own"
    assert parse_manifest(toml(EMBEDDER), "own.toml").model["own"].dimension == 512


REFUSED = {
    "not TOML": (b"model = [", "not a model manifest"),
    "not UTF-8": (b"\xff\xfe", "not a model manifest"),
    "no model": (b"", "not a model manifest"),
    "an empty table of models": (b"[model]", "not a model manifest"),
    "too large": (b"#" * (MANIFEST_BYTES_MAX + 1), "at most"),
    "an unknown field": (toml(DETECTOR | {"colour": '"bgr"'}), "unknown field `colour`"),
    "an unknown field of the input": (
        toml(DETECTOR | {"input": '{ colour = "bgr", multiple_of = 32, size = 3 }'}),
        "unknown field `size`",
    ),
    "an unknown role": (toml(DETECTOR | {"role": '"judge"'}), "Invalid enum value"),
    "a mistyped colour": (toml(DETECTOR | {"input": '{ colour = "BGR", multiple_of = 32 }'}), "Invalid enum value"),
    "a short digest": (toml(DETECTOR | {"sha256": '"abc"'}), "sha256"),
    "an upper-case digest": (toml(DETECTOR | {"sha256": f'"{"A" * 64}"'}), "sha256"),
    "no digest": (toml(DETECTOR | {"sha256": ""}), "missing required field `sha256`"),
    "no licence": (toml(DETECTOR | {"licence": ""}), "missing required field `licence`"),
    "a name that leaves the folder": (toml(DETECTOR, name='"../own"'), "not a model manifest"),
    "nowhere to come from": (toml(DETECTOR | {"path": ""}), "either path, or package and member"),
    "two places to come from": (
        toml(DETECTOR | {"package": '"p"', "member": '"m"'}),
        "either path, or package and member",
    ),
    "a package without a member": (toml(DETECTOR | {"path": "", "package": '"p"'}), "either path"),
    "a package that is not there": (
        toml(DETECTOR | {"path": "", "package": '"p"', "member": '"m"'}),
        "there is no [package.p]",
    ),
    "no size": (toml(DETECTOR | {"input": '{ colour = "bgr" }'}), "either width and height"),
    "half a size": (toml(DETECTOR | {"input": '{ colour = "bgr", width = 640 }'}), "either width and height"),
    "half a size and a multiple": (
        toml(DETECTOR | {"input": '{ colour = "bgr", width = 640, multiple_of = 32 }'}),
        "either width and height",
    ),
    "two sizes": (
        toml(DETECTOR | {"input": '{ colour = "bgr", width = 640, height = 640, multiple_of = 32 }'}),
        "either width and height",
    ),
    "a scale of nothing": (
        toml(DETECTOR | {"input": '{ colour = "bgr", multiple_of = 32, scale = [1.0, 0.0, 1.0] }'}),
        "must not be 0",
    ),
    "a detector of features": (toml(DETECTOR | {"convention": '"feature"'}), "a detector has the convention"),
    "a detector with a dimension": (toml(DETECTOR | {"dimension": "128"}), "neither dimension"),
    "an embedder of boxes": (toml(EMBEDDER | {"convention": '"yunet"'}), "a detector has the convention"),
    "an embedder without a dimension": (toml(EMBEDDER | {"dimension": ""}), "an embedder needs"),
    "an embedder without landmarks": (toml(EMBEDDER | {"landmark_template": ""}), "an embedder needs"),
    "an embedder with four landmarks": (
        toml(EMBEDDER | {"landmark_template": "[[1.0, 1.0], [3.0, 1.0], [2.0, 2.0], [1.0, 3.0]]"}),
        "an embedder needs",
    ),
    "two defaults": (
        toml(DETECTOR | {"default": "true"}, name="a") + b"\n" + toml(DETECTOR | {"default": "true"}, name="b"),
        "a and b are both the default detector",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_manifest_is_refused_in_one_sentence(case: str) -> None:
    data, sentence = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        parse_manifest(data, "own.toml")
    assert sentence in str(caught.value)
    assert "own.toml" in str(caught.value)


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_nonsense_is_a_config_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_manifest(data, "own.toml")


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_manifest(tmp_path / "none.toml")


def test_without_a_mark_the_only_model_of_a_role_is_the_default_and_two_are_none() -> None:
    two = parse_manifest(toml(DETECTOR, name="a") + b"\n" + toml(DETECTOR, name="b"), "own.toml")
    with pytest.raises(ConfigError, match="no default detector"):
        two.default("detector")
    with pytest.raises(ConfigError, match="no default embedder"):
        two.default("embedder")


def test_a_model_of_another_digest_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(b"something else")
    manifest = parse_manifest(toml(DETECTOR), "own.toml")
    with pytest.raises(ConfigError, match=f"but the manifest pins {DIGEST}"):
        published_model(manifest, "own", folder=tmp_path, cache=tmp_path)


def test_a_missing_model_file_and_an_unknown_model_are_named(tmp_path: Path) -> None:
    manifest = parse_manifest(toml(DETECTOR), "own.toml")
    with pytest.raises(ConfigError, match=r"own\.onnx, named by model own, cannot be read"):
        published_model(manifest, "own", folder=tmp_path, cache=tmp_path)
    with pytest.raises(ConfigError, match="no model other: expected one of own"):
        published_model(manifest, "other", folder=tmp_path, cache=tmp_path)
