"""Which models there are, where they come from and what they want: a TOML file, read strictly.

Rules of this module:
    1. Unknown fields, wrong types and contradictions are refused in one sentence that names the file and the model.
    2. Every model is pinned by SHA-256, wherever it comes from.
    3. A customer's own model is an entry, never code.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.errors import ConfigError
from appliance.model.model_card import Convention, Role

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST_BYTES_MAX = 1_000_000
MODELS_MAX = 64

_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=8_192)]
_Triple = tuple[float, float, float]


class PackageEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pinned package file; its project is the table's name."""

    file: _Text
    sha256: _Sha256


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the published model takes.

    Attributes:
        colour: Order of the channels.
        width: Pixels, where the size is fixed.
        height: Likewise.
        multiple_of: Where the size is free: what both sides must be a multiple of.
        mean: Subtracted from 0-255, in the order of ``colour``; (0, 0, 0) where the graph does it itself.
        scale: Multiplied afterwards.
    """

    colour: Literal["bgr", "rgb"]
    width: _Side | None = None
    height: _Side | None = None
    multiple_of: _Side | None = None
    mean: _Triple = (0.0, 0.0, 0.0)
    scale: _Triple = (1.0, 1.0, 1.0)


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model; the fields are those of :class:`appliance.model.model_card.ModelCard`, and where it comes from.

    Attributes:
        package: Name of a ``[package.…]`` table, with ``member``; or else ``path``.
        member: Its path in the package file.
        path: A file, relative to the manifest's folder.
        default: Whether this is the one to use for its role when nobody says otherwise.
    """

    role: Role
    sha256: _Sha256
    source: _Text
    licence: _Text
    licence_note: _Text
    convention: Convention
    input: InputSpec
    package: _Text | None = None
    member: _Text | None = None
    path: _Text | None = None
    default: bool = False
    dimension: Annotated[int, msgspec.Meta(ge=1, le=8_192)] | None = None
    landmark_template: tuple[tuple[float, float], ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole manifest file.

    Attributes:
        package: Pinned package files by project.
        model: Models by name.
    """

    package: dict[_Text, PackageEntry] = {}
    model: Annotated[dict[_Name, ModelEntry], msgspec.Meta(min_length=1, max_length=MODELS_MAX)]

    def default(self, role: Role) -> str:
        """Return the name of the model to use for a role: the one marked so, else the only one.

        Raises:
            ConfigError: There is none.
        """
        names = [name for name, entry in self.model.items() if entry.role == role]
        marked = [name for name in names if self.model[name].default]
        if not marked and len(names) != 1:
            raise ConfigError(f"the manifest has no default {role}: mark one model of this role with default = true")
        return marked[0] if marked else names[0]


def bundled_manifest() -> Manifest:
    """Return the manifest that comes with this package."""
    return parse_manifest(resources.files("trt_engines").joinpath("manifest.toml").read_bytes(), "manifest.toml")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file.

    Raises:
        ConfigError: It is missing, too large, or refused by :func:`parse_manifest`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the model manifest {path} cannot be read ({error.strerror})") from error
    return parse_manifest(data, str(path))


def parse_manifest(data: bytes, name: str) -> Manifest:
    """Return the manifest in some bytes.

    Args:
        data: TOML, at most ``MANIFEST_BYTES_MAX`` bytes of UTF-8.
        name: The file's name, for messages.

    Raises:
        ConfigError: Not TOML, not this schema, or contradicting itself.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise ConfigError(f"{name} has {len(data)} bytes; a manifest has at most {MANIFEST_BYTES_MAX}")
    try:
        manifest = msgspec.convert(tomllib.loads(data.decode()), Manifest)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{name} is not a model manifest: {error}") from error
    for model, entry in manifest.model.items():
        fault = _fault(entry, manifest)
        if fault is not None:
            raise ConfigError(f"{name}, model {model}: {fault}")
    for role in ("detector", "embedder"):
        marked = [model for model, entry in manifest.model.items() if entry.role == role and entry.default]
        if len(marked) > 1:
            raise ConfigError(f"{name}: {' and '.join(marked)} are both the default {role}; mark one")
    return manifest


def _fault(entry: ModelEntry, manifest: Manifest) -> str | None:
    """Return what is wrong with an entry, as a sentence without a full stop, or None."""
    size = entry.input
    fixed = size.width is not None and size.height is not None
    checks = (
        (
            (entry.path is None) == (entry.package is None) or (entry.package is None) != (entry.member is None),
            "say where it comes from: either path, or package and member",
        ),
        (
            entry.package is not None and entry.package not in manifest.package,
            f"there is no [package.{entry.package}]",
        ),
        (
            fixed == (size.multiple_of is not None) or (size.width is None) != (size.height is None),
            "input needs either width and height, or multiple_of",
        ),
        (any(value == 0 for value in size.scale), "input.scale must not be 0"),
        (
            (entry.role == "detector") != (entry.convention == "yunet"),
            'a detector has the convention "yunet", an embedder "feature"',
        ),
        (
            entry.role == "detector" and (entry.dimension is not None or bool(entry.landmark_template)),
            "a detector has neither dimension nor landmark_template",
        ),
        (
            entry.role == "embedder" and (entry.dimension is None or len(entry.landmark_template) != 5 or not fixed),
            "an embedder needs dimension, landmark_template with five points, width and height",
        ),
    )
    return next((sentence for wrong, sentence in checks if wrong), None)
