"""People of the street: heads cut out of real photographs and videos, dressed, as layers on a common canvas.

Rules of this module:
    1. Who there is, and the outline of each in its photograph, is data: ``street_cast.toml``.
    2. Layers are premultiplied BGRA, ``CANVAS`` sized, the chin at ``CHIN``, the face ``FACE_PX`` wide.
    3. Videos are read frame by frame, forwards and then backwards again, so that a face keeps moving.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.street_clothes import CANVAS, CHIN, FACE_PX, Image, Tailor, over, rows_above
from trt_engines.photographs import photograph

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SATURATION = 0.85
"""Colours are a little paler than in the photographs, as the light of the street is."""

_SHOULDER_FADE = (0.46, 0.68)
"""Where (face widths below the chin) a photograph ends under a coat."""

Box = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A picture and its halves, quarters and so on, largest first."""

    levels: tuple[Image, ...]

    @classmethod
    def of(cls, image: Image, *, smallest_px: int = 24) -> Layer:
        """Return ``image`` with as many halvings as leave a face at least ``smallest_px`` wide."""
        levels, face = [image], float(FACE_PX)
        while face / 2 >= smallest_px:
            size = (levels[-1].shape[1] // 2, levels[-1].shape[0] // 2)
            levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False))
            face /= 2
        return cls(levels=tuple(levels))


def load_table(path: Path) -> dict[str, Any]:
    """Return a TOML file as a dictionary."""
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table


class Person:
    """One entry of the cast, ready to be drawn.

    Attributes:
        face_ratio: Height of the face's box for a width of 1.
        tall: Height of the eyes above the camera, in face widths.
        has_face: False for somebody who is seen from behind.
    """

    def __init__(self, entry: Mapping[str, Any], cache: Path, seed: int) -> None:
        self._entry = entry
        self._tailor = Tailor(seed, float(entry["build"]))
        self.tall = float(entry["tall"])
        self._keys = np.array(entry.get("faces", [[0, 0, 0, 1, 1]]), np.float64)
        self.face_ratio = float(np.mean(self._keys[:, 4] / self._keys[:, 3]))
        self._pictures = _pictures(photograph(entry["photograph"], cache), self._keys) if "faces" in entry else []
        self.has_face = bool(self._pictures)
        self._heads: dict[int, Layer] = {}
        self._rows = rows_above(4.6 if entry["wears"] == "photo" else 0.8)
        self._cap = self._tailor.cap(entry["cap"], -self.face_ratio)[: self._rows] if "cap" in entry else None
        self.behind = Layer.of(self._behind())
        self.front = self._front()

    def head(self, step: int) -> Layer | None:
        """Return the head at the given step of the walk (one per frame of the street); None without a face."""
        count = len(self._pictures)
        if not count:
            return None
        turn = step % max(1, 2 * count - 2)
        index = turn if turn < count else 2 * count - 2 - turn
        if index not in self._heads:
            if count > 1:
                self._heads.clear()
            self._heads[index] = Layer.of(self._cut(index))
        return self._heads[index]

    def _behind(self) -> Image:
        colour, wears = self._entry["colour"], self._entry["wears"]
        return self._tailor.coat(colour, open_at_neck=False) if wears == "photo" else self._tailor.under(colour)

    def _front(self) -> Layer | None:
        colour, wears = self._entry["colour"], self._entry["wears"]
        if wears == "photo":
            return None
        if wears == "hood":
            return Layer.of(self._tailor.hood(colour))
        coat = self._tailor.coat(colour, open_at_neck=True)
        if wears == "scarf":
            coat = over(coat, self._tailor.scarf([int(40 + 0.9 * c) for c in reversed(colour)]))
        return Layer.of(coat)

    def _face_at(self, index: int) -> Box:
        frame = self._keys[0, 0] + index
        return np.array([np.interp(frame, self._keys[:, 0], self._keys[:, column]) for column in range(1, 5)])

    def _cut(self, index: int) -> Image:
        """Return the head of one picture on the canvas."""
        x, y, width, height = self._face_at(index)
        picture = _toned(self._pictures[index], float(self._entry["gain"]))
        scale = FACE_PX / width
        to_canvas = np.array(
            [[scale, 0, CHIN[0] - scale * (x + width / 2)], [0, scale, CHIN[1] - scale * (y + height)]]
        )
        alpha = self._alpha(np.array([x, y, width, height]), to_canvas, picture.shape[:2])
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
            to_canvas[0, 0] = to_canvas[1, 1] = 1.0
        colour = cv2.warpAffine(picture, to_canvas, (CANVAS[0], self._rows), flags=cv2.INTER_CUBIC, borderMode=1)
        cut = cv2.merge([cv2.multiply(colour, cv2.merge([alpha] * 3), scale=1 / 255), alpha])
        return (over(cut.astype(np.uint8), self._cap) if self._cap is not None else cut).astype(np.uint8, copy=False)

    def _alpha(self, face: Box, to_canvas: NDArray[np.float64], size: tuple[int, ...]) -> Image:
        """Return where the person is on the canvas: inside the outline and the picture, soft at the edge."""
        drawn_at = np.array(self._entry.get("outline_face", self._keys[0, 1:]), np.float64)
        outline = (np.array(self._entry["outline"], np.float64) - drawn_at[:2]) / drawn_at[2] * face[2] + face[:2]
        outline = np.clip(outline, 0, [size[1] - 1, size[0] - 1])
        corners = outline @ to_canvas[:, :2].T + to_canvas[:, 2]
        mask = np.zeros((self._rows, CANVAS[0]), np.uint8)
        cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8)).astype(np.uint8)
        mask = cv2.GaussianBlur(mask, (0, 0), 1.6).astype(np.uint8)
        start, end = _SHOULDER_FADE
        if self._entry["wears"] == "photo":
            end = float(corners[:, 1].max() - CHIN[1]) / FACE_PX - 0.05
            start = end - 0.3
        below = (np.arange(self._rows, dtype=np.float32)[:, None] - CHIN[1]) / FACE_PX
        fade = np.clip((end - below) / (end - start), 0, 1)
        if self._entry["wears"] != "photo":  # shoulders of the photograph must not stick out of the coat
            aside = np.abs(np.arange(CANVAS[0], dtype=np.float32)[None, :] - CHIN[0]) / FACE_PX
            fade = fade * np.clip((np.interp(below, [0.0, 0.35], [2.2, 0.66]) - aside) / 0.08, 0, 1)
        return np.asarray(mask * fade, np.float32).astype(np.uint8)


def _pictures(path: Path, keys: Box) -> Sequence[Image]:
    """Return the pictures of a photograph (one) or of a video between its first and last keyframe."""
    if path.suffix in {".jpg", ".png"}:
        return [read_picture(path)]
    return read_video(path, int(keys[0, 0]), int(keys[-1, 0]))


def read_picture(path: Path) -> Image:
    """Return a photograph as BGR."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} cannot be read as a picture")
    return picture.astype(np.uint8, copy=False)


def read_video(path: Path, first: int, last: int) -> list[Image]:
    """Return the frames ``first`` to ``last`` (inclusive) of a video, decoded in order so that none is guessed."""
    capture = cv2.VideoCapture(str(path))
    frames: list[Image] = []
    for index in range(last + 1):
        found, frame = capture.read()
        if not found:
            raise ValueError(f"{path} ends after {index} frames; {last + 1} were expected")
        if index >= first:
            frames.append(frame.astype(np.uint8, copy=False))
    capture.release()
    return frames


def _toned(picture: Image, gain: float) -> Image:
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(picture, SATURATION * gain, grey, (1 - SATURATION) * gain, 0).astype(np.uint8, copy=False)
