"""What must be known about a prepared model before it may be used: the JSON file that lies beside it.

Rules of this module:
    1. A card is read strictly: unknown fields, wrong types and contradictions are refused in one sentence.
    2. The model's files are named by SHA-256; whoever loads one compares first.
    3. No input or output: callers bring bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from appliance.errors import ConfigError
from appliance.model.frames import Floats
from appliance.model.units import Digest

CARD_VERSION = 1
CARD_BYTES_MAX = 64 * 1024

Role = Literal["detector", "embedder"]
Convention = Literal["yunet", "feature"]

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_FileName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")]
_Side = Annotated[int, msgspec.Meta(ge=1, le=8_192)]
_Point = tuple[float, float]


class PreparedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One flavour of the prepared model, in the card's folder.

    Attributes:
        file: Its name, without a folder.
        sha256: 64 lower-case hex digits over the file.
    """

    file: _FileName
    sha256: _Sha256


class PictureSize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pictures the model takes: a fixed size, or any (padded inside the graph to ``multiple_of``).

    Attributes:
        width: Pixels, or 0 for any.
        height: Pixels, or 0 for any.
        multiple_of: What the graph pads a free size to, at the right and at the bottom, with black.
    """

    width: Annotated[int, msgspec.Meta(ge=0, le=8_192)]
    height: Annotated[int, msgspec.Meta(ge=0, le=8_192)]
    multiple_of: _Side = 1


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prepared model.

    Attributes:
        version: ``CARD_VERSION``.
        name: As in the manifest.
        role: ``detector`` or ``embedder``.
        convention: What the outputs mean: ``yunet`` (see :mod:`appliance.biometrics.yunet`) or ``feature`` (one
            ``(n, dimension)`` output, not of unit length).
        source_sha256: Digest of the model as published: what templates and calibrations are bound to.
        prepared_from: Digest over everything that the prepared files depend on; for ``lamppost engines prepare``.
        clean: ``(n, 3, height, width)`` float32 BGR 0-255, plain operators: for TensorRT and for verification.
        cpu: ``(n, height, width, 3)`` uint8 BGR, rewritten for ONNX Runtime on CPUs.
        size: Pictures that it takes.
        outputs: Names of the CPU model's outputs.
        dimension: Length of a feature; 0 for a detector.
        landmark_template: Where the five landmarks must lie in an aligned face (pixels); empty for a detector.
        licence: SPDX identifier, or a few words.
        licence_note: What an operator must know about it.
    """

    version: int
    name: _Name
    role: Role
    convention: Convention
    source_sha256: _Sha256
    prepared_from: _Sha256
    clean: PreparedFile
    cpu: PreparedFile
    size: PictureSize
    outputs: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1, max_length=64)]
    dimension: Annotated[int, msgspec.Meta(ge=0, le=8_192)] = 0
    landmark_template: tuple[_Point, ...] = ()
    licence: _Text
    licence_note: _Text

    @property
    def digest(self) -> Digest:
        """The source model's digest."""
        return Digest(self.source_sha256)

    def template(self) -> Floats:
        """Return the landmark template as ``(5, 2)`` float32.

        Raises:
            ConfigError: This model has none, since it is a detector.
        """
        if not self.landmark_template:
            raise ConfigError(f"{self.name} is a detector and has no landmark template: name an embedder")
        return np.array(self.landmark_template, np.float32)


_DECODER = msgspec.json.Decoder(ModelCard)


def parse_card(data: bytes) -> ModelCard:
    """Return the card in a ``NAME.json`` file.

    Raises:
        ConfigError: Too large, not this schema or version, or contradicting itself.
    """
    if len(data) > CARD_BYTES_MAX:
        raise ConfigError(f"the model card has {len(data)} bytes; at most {CARD_BYTES_MAX} are read")
    try:
        card = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"the model card is not readable ({error}); run: lamppost engines prepare") from error
    fault = contradiction(card)
    if fault is not None:
        raise ConfigError(f"the model card is refused: {fault}; run: lamppost engines prepare")
    return card


def encode_card(card: ModelCard) -> bytes:
    """Return the card as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


def contradiction(card: ModelCard) -> str | None:
    """Return what is wrong with a well-formed card, as half a sentence, or None."""
    if card.version != CARD_VERSION:
        return f"version {card.version} where {CARD_VERSION} was expected"
    if (card.size.width == 0) != (card.size.height == 0):
        return "width and height must both be fixed or both be 0"
    if card.role == "detector":
        if card.convention != "yunet" or card.dimension or card.landmark_template:
            return "a detector has the convention yunet, and neither dimension nor landmark template"
        return None
    if card.convention != "feature" or not card.dimension or not card.size.width:
        return "an embedder has the convention feature, a dimension and a fixed size"
    if len(card.landmark_template) != 5 or len(card.outputs) != 1:
        return "an embedder has five landmarks in its template and one output"
    if any(not (0 <= x <= card.size.width and 0 <= y <= card.size.height) for x, y in card.landmark_template):
        return "a landmark of the template lies outside the picture"
    return None
