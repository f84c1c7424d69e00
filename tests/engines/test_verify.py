from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks_for_tests import own_embedder
from test_prepare import own_manifest

from appliance.errors import ConfigError
from appliance.model.frames import Detections
from trt_engines.manifest import bundled_manifest
from trt_engines.verify import SCORE_MIN, Comparison, agreement, default_photographs, overlap, verify


def faces(*rows: tuple[float, float, float, float, float]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    landmarks = np.zeros((len(table), 5, 2), np.float32)
    return Detections(boxes=table[:, :4], landmarks=landmarks, scores=table[:, 4])


ONE, OTHER = (10.0, 10.0, 50.0, 60.0, 0.9), (200.0, 10.0, 50.0, 60.0, 0.8)


def test_the_prepared_models_agree_with_opencv_on_real_photographs(cache: Path) -> None:
    rows = list(
        verify(bundled_manifest(), folder=Path(), cache=cache, photographs=("five-friends", "city", "astronaut"))
    )
    assert [row.faces for row in rows] == [5, 18, 1]
    for row in rows:
        assert row.met
        assert row.reference == "OpenCV"
        assert row.iou_min >= 0.95
        assert row.cosine_min >= 0.999


def test_a_customers_embedder_is_compared_with_its_clean_flavour(tmp_path: Path, cache: Path) -> None:
    manifest = own_manifest(tmp_path, own_embedder())
    # The bundled detector completes a manifest that has none; its photographs come from the common cache.
    for folder in ("packages", "photographs"):
        (tmp_path / folder).symlink_to(cache / folder)
    (row,) = verify(manifest, folder=tmp_path, cache=tmp_path, photographs=("astronaut",))
    assert row.reference == "clean model"
    assert row.met


def test_two_like_sets_of_faces_agree() -> None:
    assert agreement(faces(ONE, OTHER), faces(OTHER, ONE)) == (0, 1.0)
    assert agreement(faces(), faces()) == (0, 1.0)


def test_a_face_that_one_side_lacks_is_counted_whichever_side() -> None:
    assert agreement(faces(ONE, OTHER), faces(ONE))[0] == 1
    assert agreement(faces(ONE), faces(ONE, OTHER))[0] == 1
    assert agreement(faces(ONE), faces())[0] == 1
    assert agreement(faces(), faces(ONE))[0] == 1


def test_a_face_near_the_threshold_may_be_a_little_below_it_on_the_other_side() -> None:
    above, below = (*ONE[:4], SCORE_MIN + 0.001), (*ONE[:4], SCORE_MIN - 0.001)
    assert agreement(faces(above), faces(below)) == (0, 1.0)
    assert agreement(faces(below), faces(below)) == (0, 1.0)


def test_a_box_that_is_shifted_shows_in_the_worst_overlap() -> None:
    shifted = (12.5, 10.0, 50.0, 60.0, 0.9)
    unmatched, worst = agreement(faces(ONE, OTHER), faces(shifted, OTHER))
    assert unmatched == 0
    assert worst == pytest.approx(47.5 / 52.5)


def test_the_overlap_of_boxes_apart_or_empty_is_nothing() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 10, 10], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(overlap(boxes, boxes), [[1, 0, 0], [0, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "changes", [{"unmatched": 1}, {"iou_min": 0.949}, {"cosine_min": 0.9989}], ids=["unmatched", "overlap", "cosine"]
)
def test_each_limit_alone_fails_a_photograph(changes: dict[str, float]) -> None:
    good = {"photograph": "p", "faces": 1, "unmatched": 0, "iou_min": 0.95, "cosine_min": 0.999, "reference": "OpenCV"}
    assert Comparison(**good).met
    assert not Comparison(**{**good, **changes}).met


def test_an_unknown_photograph_is_refused(cache: Path) -> None:
    with pytest.raises(ConfigError, match="no photograph called nobody"):
        list(verify(bundled_manifest(), folder=Path(), cache=cache, photographs=("nobody",)))


def test_every_still_picture_is_verified_by_default() -> None:
    names = default_photographs()
    assert {"astronaut", "obama", "five-friends"} <= set(names)
    assert "no-face" not in names
