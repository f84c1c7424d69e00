"""What is known about a composed clip: who passes when, who of them is listed, and where each face is.

Rules of this module:
    1. Ground truth describes clips that were made on purpose, never what a camera saw; the eye cannot read it.
    2. Parsing is strict and complete: unknown fields, wrong types and contradictions are refused in one sentence.
    3. No input or output: callers bring bytes.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import msgspec

from appliance.errors import ConfigError

GROUND_TRUTH_VERSION = 1
GROUND_TRUTH_BYTES_MAX = 16 * 2**20

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
_Pixels = Annotated[float, msgspec.Meta(ge=-100_000, le=100_000)]
_Size = Annotated[float, msgspec.Meta(gt=0, le=100_000)]


class FaceSeen(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A face in one frame, written as ``[frame, x, y, width, height, visible]``.

    Attributes:
        frame: From 0.
        x: Left edge in pixels; may lie outside the picture, like the others.
        y: Upper edge.
        width: Of the face from ear to ear.
        height: Of the face from the forehead to the chin.
        visible: Part of the face that nothing hides and no edge cuts, 0 to 1.
    """

    frame: _Count
    x: _Pixels
    y: _Pixels
    width: _Size
    height: _Size
    visible: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Passage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person on one way through the clip.

    Attributes:
        passage: Name of this pass, unique in the clip.
        identity: Who it is: the same for two passes of one human being.
        reference: Code on the watchlist, or None for somebody who is not listed.
        source: Photograph or video that is shown.
        conditions: What makes it difficult, in words.
        first_frame: First frame with some of the face in it.
        last_frame: Last such frame.
        faces: One entry a frame with some of the face in it, in order; frames may be missing between.
    """

    passage: _Text
    identity: _Text
    reference: _Text | None
    source: _Text
    conditions: tuple[_Text, ...]
    first_frame: _Count
    last_frame: _Count
    faces: Annotated[tuple[FaceSeen, ...], msgspec.Meta(min_length=1)]


class GroundTruth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole clip.

    Attributes:
        version: ``GROUND_TRUTH_VERSION``.
        scene: Name of the scene.
        seed: That it was composed with.
        frames_per_second: Of the clip.
        width: Pixels.
        height: Pixels.
        frames: How many there are.
        references: Every code on the watchlist that lies beside the clip, whether its person passes or not.
        passages: Everybody who passes.
    """

    version: int
    scene: _Text
    seed: int
    frames_per_second: Annotated[float, msgspec.Meta(gt=0, le=1_000)]
    width: Annotated[int, msgspec.Meta(ge=1, le=7_680)]
    height: Annotated[int, msgspec.Meta(ge=1, le=4_320)]
    frames: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
    references: tuple[_Text, ...]
    passages: tuple[Passage, ...]

    def expected_references(self) -> frozenset[str]:
        """Return the references whose person passes: each must be alerted on, and no other."""
        return frozenset(passage.reference for passage in self.passages if passage.reference is not None)

    def listed(self) -> tuple[Passage, ...]:
        """Return the passes of listed people, in order of their beginning."""
        found = (passage for passage in self.passages if passage.reference is not None)
        return tuple(sorted(found, key=lambda passage: passage.first_frame))

    def span_s(self, passage: Passage) -> tuple[float, float]:
        """Return the first and last moment of a pass in seconds of the clip."""
        return passage.first_frame / self.frames_per_second, passage.last_frame / self.frames_per_second


_DECODER = msgspec.json.Decoder(GroundTruth)


def parse_ground_truth(data: bytes) -> GroundTruth:
    """Return the ground truth in a ``.truth.json`` file.

    Raises:
        ConfigError: Too large, not this schema or version, or contradicting itself.
    """
    if len(data) > GROUND_TRUTH_BYTES_MAX:
        raise ConfigError(f"the ground truth has {len(data)} bytes; at most {GROUND_TRUTH_BYTES_MAX} are read")
    try:
        truth = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"the ground truth is not what tools/street.py writes ({error}); compose it anew") from error
    fault = _contradiction(truth)
    if fault is not None:
        raise ConfigError(f"the ground truth contradicts itself: {fault}; compose it anew")
    return truth


def _contradiction(truth: GroundTruth) -> str | None:
    """Return what is wrong, as half a sentence, or None."""
    if truth.version != GROUND_TRUTH_VERSION:
        return f"version {truth.version} where {GROUND_TRUTH_VERSION} was expected"
    for name, values in (("reference", truth.references), ("passage", [p.passage for p in truth.passages])):
        if len(set(values)) != len(values):
            return f"a {name} is named twice"
    who: dict[str, str | None] = {}
    for passage in truth.passages:
        if passage.reference is not None and passage.reference not in truth.references:
            return "somebody is listed under a reference that is not on the watchlist"
        if who.setdefault(passage.identity, passage.reference) != passage.reference:
            return "one person is listed under two references, or listed and not listed"
        fault = _contradiction_of(passage, truth.frames)
        if fault is not None:
            return fault
    return None


def _contradiction_of(passage: Passage, frames: int) -> str | None:
    numbers = [face.frame for face in passage.faces]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        return "the frames of a pass are not in order"
    if (numbers[0], numbers[-1]) != (passage.first_frame, passage.last_frame):
        return "a pass begins or ends in another frame than its faces"
    if numbers[-1] >= frames:
        return "a face lies after the end of the clip"
    return None
