"""The composed street is the same every time, and its ground truth is true."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ConfigError
from appliance.model.ground_truth import parse_ground_truth
from tools.street import STAMP, TRUTH, VIDEO, compose
from tools.street_check import Networks, measure, references, score
from tools.street_people import load_table
from tools.street_scene import CAST_FILE, SCENES_FILE, Scene
from trt_engines.packages import cache_folder
from trt_engines.photographs import PHOTOGRAPHS

ROOT = Path(__file__).resolve().parents[2]
CAST, SCENES = load_table(CAST_FILE)["person"], load_table(SCENES_FILE)
MATED_MIN = 0.45
NON_MATED_MAX = 0.42
SECONDS = 6.0


def silent(done, total):
    return None


def listed_walks(scene):
    return [walk for walk in SCENES[scene]["walk"] if "reference" in walk]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed") / "street"
    assert compose("street", folder, seconds=SECONDS, seed=1, cache=cache_folder(), told=silent)
    return folder


@pytest.fixture(scope="module")
def networks():
    return Networks(cache_folder())


@pytest.fixture(scope="module")
def measured(street, networks):
    return measure(street, networks)[1]


def digests(scene, seed, seconds):
    frames = Scene(scene, seed=seed, cache=cache_folder()).frames(seconds)
    return [(hashlib.sha256(frame.tobytes()).hexdigest(), tuple(seen)) for frame, seen in frames]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="not a street"):
        compose("street", tmp_path, seconds=0.2, seed=1, cache=cache_folder(), told=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_nonsensical_length_ends_with_one_sentence():
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "street.py"), "--seconds", "-3"], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "--seconds must be between" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_interrupted_composition_leaves_nothing_behind(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compose("public", tmp_path / "street", seconds=1.0, seed=1, cache=cache_folder(), told=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_frames_and_the_same_truth():
    assert digests("street", 1, 0.6) == digests("street", 1, 0.6)


def test_another_seed_gives_other_frames_of_the_same_people():
    first, second = digests("public", 1, 0.2), digests("public", 2, 0.2)
    assert all(a[0] != b[0] for a, b in zip(first, second, strict=True))
    assert [[face.walk for face in seen] for _, seen in first] == [[face.walk for face in seen] for _, seen in second]


def test_a_street_that_is_up_to_date_is_not_composed_again(street):
    before = (street / VIDEO).stat().st_mtime_ns
    assert not compose("street", street, seconds=SECONDS, seed=1, cache=cache_folder(), told=silent)
    assert (street / VIDEO).stat().st_mtime_ns == before


def test_another_length_is_composed_anew_in_place(tmp_path):
    out = tmp_path / "street"
    for seconds in (0.2, 0.4):
        assert compose("public", out, seconds=seconds, seed=1, cache=cache_folder(), told=silent)
    assert parse_ground_truth((out / TRUTH).read_bytes()).frames == 10
    assert sorted(path.name for path in out.iterdir()) == sorted([VIDEO, TRUTH, STAMP, "README.txt", "watchlist"])


def test_the_truth_names_the_size_of_the_clip_and_every_reference(street):
    truth = parse_ground_truth((street / TRUTH).read_bytes())
    assert (truth.width, truth.height, truth.frames_per_second) == (1280, 720, 25.0)
    assert truth.frames == round(SECONDS * 25)
    on_disk = {path.stem for path in (street / "watchlist").iterdir()}
    assert on_disk == set(truth.references)
    assert truth.expected_references() == {"W-0001", "W-0002"}


def test_the_detector_finds_faces_where_the_truth_says(measured):
    assert len(measured) >= 7
    looked, found = sum(one.looked for one in measured), sum(one.found for one in measured)
    assert looked >= 100
    assert found >= 0.9 * looked


def test_listed_people_resemble_their_reference_and_nobody_else_does(street, networks, measured):
    templates = references(street / "watchlist", networks)
    assert set(templates) == {"W-0001", "W-0002", "W-0003", "W-0004"}
    for one in measured:
        for code, reference in templates.items():
            fused, _ = score(reference, one.templates)
            if one.passage.reference == code:
                assert fused >= MATED_MIN
            else:
                assert fused <= NON_MATED_MAX or np.isnan(fused)


def test_references_on_the_list_do_not_resemble_each_other(street, networks):
    templates = references(street / "watchlist", networks)
    for code, one in templates.items():
        assert all((one @ other.T).max() < NON_MATED_MAX for name, other in templates.items() if name != code)


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_nobody_is_listed_from_the_picture_that_is_shown(scene):
    images = {entry["code"]: entry["images"] for entry in SCENES[scene]["reference"]}
    for walk in listed_walks(scene):
        person = CAST[walk["person"]]
        for image in images[walk["reference"]]:
            assert image["photograph"] != person["photograph"] or apart(image, person)


def apart(image, person):
    """Whether two pictures of one file show different moments: other frames, or another portrait on the sheet."""
    keys = person["faces"]
    if "frame" in image:
        return not keys[0][0] - 100 <= image["frame"] <= keys[-1][0] + 100
    left, top, right, low = image["crop"]
    x, y, width, height = keys[0][1:]
    return x >= right or y >= low or x + width <= left or y + height <= top


def test_the_street_is_as_busy_and_as_hard_as_it_must_be():
    street = SCENES["street"]
    faces = [walk for walk in street["walk"] if "photograph" in CAST[walk["person"]]]
    identities = {CAST[walk["person"]].get("identity", walk["person"]) for walk in faces}
    assert street["seconds"] >= 20
    assert len(identities) >= 14
    assert len({walk["reference"] for walk in listed_walks("street")}) >= 4
    assert (
        sum(PHOTOGRAPHS[CAST[walk["person"]]["photograph"]].file_name.endswith((".mp4", ".mov")) for walk in faces) >= 3
    )
    conditions = {condition for walk in street["walk"] for condition in walk.get("conditions", [])}
    assert {"dark", "out of focus", "bright sun", "behind the post", "comes from behind the crowd"} <= conditions


def test_the_public_street_shows_only_what_may_be_published():
    public = SCENES["public"]
    assert public["background"] == "drawn"
    shown = {CAST[walk["person"]].get("photograph") for walk in public["walk"]} - {None}
    shown |= {image["photograph"] for entry in public["reference"] for image in entry["images"]}
    assert all(PHOTOGRAPHS[name].may_be_published for name in shown)
