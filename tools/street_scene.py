"""Composes the frames of a street: background, crowd, walkers from far to near, a lamppost, light and noise.

Rules of this module:
    1. The same scene and seed give the same pixels, frame by frame (same OpenCV build and kind of processor).
    2. Truth is measured on what was drawn: a face's visible part is counted in pixels after everything hid everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.street_clothes import CHIN, FACE_PX, Image
from tools.street_people import Layer, Person, load_table, read_picture
from tools.street_walk import FRAMES_PER_SECOND, HEIGHT, WIDTH, Pose, Walk, walk_from
from trt_engines.photographs import photograph

HERE = Path(__file__).resolve().parent
CAST_FILE, SCENES_FILE = HERE / "street_cast.toml", HERE / "street_scenes.toml"
NOISE_PATTERNS = 7
NOISE_LEVELS = 7
"""Sensor noise is uniform over this many grey levels."""

_HIDDEN_BELOW = 0.02
_NOBODY = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSeen:
    """A face in one frame: the walk's number, x, y, width, height in pixels, and its visible part (0 to 1)."""

    walk: int
    box: tuple[float, float, float, float]
    visible: float


class Scene:
    """One clip, for example ``street``.

    Args:
        name: A table of ``street_scenes.toml``.
        seed: Changes gait, cloth and noise; not who passes when.
        cache: Where the photographs are.
    """

    def __init__(self, name: str, *, seed: int, cache: Path) -> None:
        table: Mapping[str, Any] = load_table(SCENES_FILE)[name]
        self._seed, self._cache = seed, cache
        self._cast: Mapping[str, Any] = load_table(CAST_FILE)["person"]
        self.name = name
        self.seconds = float(table["seconds"])
        self.backgrounds = ("city",) if table["background"] == "city" else ()
        self.references: list[Mapping[str, Any]] = list(table["reference"])
        self.walks = [walk_from(entry, number, seed) for number, entry in enumerate(table["walk"])]
        self._people: dict[int, Person] = {}
        self._ground = _city(cache) if table["background"] == "city" else _drawn_street()
        self._crowd = _crowd(table.get("crowd", []))
        self._crowd_metres = float(table["crowd_metres"])
        self._post_px, self._post_metres = int(table["post_px"]), float(table["post_metres"])
        self._light = _light(table["light"])
        patterns = (NOISE_PATTERNS, HEIGHT, WIDTH, 3)
        self._noise = np.random.RandomState(seed).randint(0, NOISE_LEVELS, patterns, dtype=np.uint8)
        self._noise_mean = np.full((HEIGHT, WIDTH, 3), NOISE_LEVELS // 2, np.uint8)

    def identity(self, walk: Walk) -> str:
        """Return who this is: the same for two walks of one human being."""
        return str(self._cast[walk.person].get("identity", walk.person))

    def source(self, walk: Walk) -> str | None:
        """Return the photograph or video that is shown; None for somebody without a face."""
        found = self._cast[walk.person].get("photograph")
        return None if found is None else str(found)

    def frames(self, seconds: float) -> Iterator[tuple[Image, list[FaceSeen]]]:
        """Yield BGR frames and the faces drawn in each, nearest last."""
        for index in range(round(min(seconds, self.seconds) * FRAMES_PER_SECOND)):
            yield self._frame(index)

    def _frame(self, index: int) -> tuple[Image, list[FaceSeen]]:
        time_s = index / FRAMES_PER_SECOND
        frame = _sway(self._ground, time_s, self._crowd is not None)
        behind = frame.copy()
        owner = np.full((HEIGHT, WIDTH), _NOBODY, np.uint8)
        poses = self._poses(time_s)
        things: list[tuple[float, int]] = [(pose.metres, number) for number, pose in poses.items()]
        things += [(self._crowd_metres, -1), (self._post_metres, -2)]
        for _, number in sorted(things, reverse=True):
            if number == -1:
                _cover(frame, behind, owner, self._crowd)
            elif number == -2:
                _post(frame, owner, self._post_px)
            else:
                self._draw(frame, owner, number, poses[number], time_s)
        cv2.multiply(frame, self._light, frame, scale=_weather(time_s) / 127)
        cv2.add(frame, self._noise[index % NOISE_PATTERNS], frame)
        cv2.subtract(frame, self._noise_mean, frame)
        seen = [self._seen(owner, number, pose) for number, pose in poses.items() if self._people[number].has_face]
        return frame, [face for face in seen if face.visible > _HIDDEN_BELOW]

    def _poses(self, time_s: float) -> dict[int, Pose]:
        """Return the poses of those on the way, the farthest first; people who have left are forgotten."""
        active = [number for number, walk in enumerate(self.walks) if walk.active(time_s)]
        for gone in set(self._people) - set(active):
            del self._people[gone]
        poses = {}
        for number in active:
            walk = self.walks[number]
            if number not in self._people:
                entry = self._cast[walk.person]
                self._people[number] = Person(entry, self._cache, self._seed * 1000 + number)
            person = self._people[number]
            poses[number] = walk.pose(time_s, tall=person.tall, face_ratio=person.face_ratio)
        return dict(sorted(poses.items(), key=lambda item: -item[1].metres))

    def _draw(self, frame: Image, owner: Image, number: int, pose: Pose, time_s: float) -> None:
        walk, person = self.walks[number], self._people[number]
        step = round((time_s - walk.start_s) * FRAMES_PER_SECOND)
        soft = math.hypot(walk.defocus, 0.25 + 0.012 * max(0.0, pose.face - 90))
        smear = round(pose.smear)
        for layer, turn in ((person.behind, 0.0), (person.head(step), pose.nod), (person.front, 0.0)):
            if layer is not None:
                placed = _placed(layer, pose, pose.lean + turn)
                if placed is not None:
                    _blend(frame, owner, number, placed, walk.gain, soft, smear)

    def _seen(self, owner: Image, number: int, pose: Pose) -> FaceSeen:
        person = self._people[number]
        height = person.face_ratio * pose.face
        turn = math.radians(pose.lean + pose.nod)
        middle = (pose.x - math.sin(turn) * height / 2, pose.y - math.cos(turn) * height / 2)
        box = (middle[0] - pose.face / 2, middle[1] - height / 2, pose.face, height)
        left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
        right, low = min(WIDTH, math.ceil(box[0] + box[2])), min(HEIGHT, math.ceil(box[1] + box[3]))
        if right <= left or low <= top:
            return FaceSeen(walk=number, box=box, visible=0.0)
        oval = np.zeros((low - top, right - left), np.uint8)
        axes = (max(1, round(pose.face * 0.4)), max(1, round(height * 0.42)))
        cv2.ellipse(oval, (round(middle[0]) - left, round(middle[1]) - top), axes, 0, 0, 360, 1, -1)
        shown = np.count_nonzero((owner[top:low, left:right] == number) & (oval > 0))
        return FaceSeen(walk=number, box=box, visible=min(1.0, float(shown) / (math.pi * axes[0] * axes[1])))


def _placed(layer: Layer, pose: Pose, degrees: float) -> tuple[Image, int, int] | None:
    """Return the part of a layer that falls into the frame, and where; None when it is outside."""
    scale, level = pose.face / FACE_PX, 0
    while scale <= 0.6 and level + 1 < len(layer.levels):
        scale, level = scale * 2, level + 1
    image = layer.levels[level]
    shrink = image.shape[0] / layer.levels[0].shape[0]
    turn = math.radians(degrees)
    a, b = scale * math.cos(turn), scale * math.sin(turn)
    matrix = np.array([[a, b, 0.0], [-b, a, 0.0]])
    matrix[:, 2] = np.array([pose.x, pose.y]) - matrix[:, :2] @ (np.array(CHIN) * shrink)
    height, width = image.shape[:2]
    corners = matrix[:, :2] @ np.array([[0, width, 0, width], [0, 0, height, height]]) + matrix[:, 2:]
    left, top = max(0, math.floor(corners[0].min())), max(0, math.floor(corners[1].min()))
    right, low = min(WIDTH, math.ceil(corners[0].max())), min(HEIGHT, math.ceil(corners[1].max()))
    if right - left < 2 or low - top < 2:
        return None
    matrix[:, 2] -= (left, top)
    warped = cv2.warpAffine(image, matrix, (right - left, low - top), flags=cv2.INTER_LINEAR)
    return warped.astype(np.uint8, copy=False), left, top


def _blend(
    frame: Image, owner: Image, number: int, placed: tuple[Image, int, int], gain: float, soft: float, smear: int
) -> None:
    image, left, top = placed
    if soft > 0.4:
        image = cv2.GaussianBlur(image, (0, 0), soft).astype(np.uint8, copy=False)
    if smear > 1:
        image = cv2.blur(image, (smear, 1)).astype(np.uint8, copy=False)
    area = (slice(top, top + image.shape[0]), slice(left, left + image.shape[1]))
    alpha = image[..., 3]
    colour = cv2.convertScaleAbs(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), alpha=gain)
    rest = cv2.merge([255 - alpha] * 3)
    frame[area] = cv2.add(cv2.multiply(frame[area], rest, scale=1 / 255), colour)
    owner[area][alpha > 127] = number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crowd:
    """Where the people in front in the background are: how much of each pixel is theirs, from ``top`` down."""

    top: int
    theirs: Image
    others: Image
    solid: NDArray[np.bool_]


def _cover(frame: Image, behind: Image, owner: Image, crowd: Crowd | None) -> None:
    """Lay the crowd of the background over those who walk behind it."""
    if crowd is not None:
        hidden = cv2.multiply(frame[crowd.top :], crowd.others, scale=1 / 255)
        cv2.add(hidden, cv2.multiply(behind[crowd.top :], crowd.theirs, scale=1 / 255), frame[crowd.top :])
        owner[crowd.top :][crowd.solid] = _NOBODY


def _post(frame: Image, owner: Image, x: int) -> None:
    """Draw the post of a lamp or sign, 26 pixels wide, slightly out of focus."""
    if x < 0:
        return
    half, soft = 13, 3
    across = np.arange(-half - soft, half + soft + 1, dtype=np.float32)
    alpha = np.clip((half + soft - np.abs(across)) / soft, 0, 1)[None, :, None]
    tint = np.array([58, 62, 60], np.float32) * (1.1 - 0.5 * (across / half)[None, :, None])
    area = (slice(0, HEIGHT), slice(x - half - soft, x + half + soft + 1))
    frame[area] = np.clip(frame[area] * (1 - alpha) + tint * alpha, 0, 255).astype(np.uint8)
    owner[:, x - half : x + half + 1] = _NOBODY


def _city(cache: Path) -> Image:
    picture = read_picture(photograph("city", cache))
    scale = WIDTH / picture.shape[1]
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[:HEIGHT], dtype=np.uint8)


def _drawn_street() -> Image:
    """Return a street without anybody, for pictures that may be published."""
    random = np.random.RandomState(7)
    street = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    down = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    street[:] = np.array([205, 190, 172], np.float32) * (1 - 0.25 * down)
    x = 0
    while x < WIDTH:
        width, top = int(random.randint(120, 230)), int(random.randint(-80, 120))
        wall = np.array([0, 4, 10]) + random.randint(95, 155) + random.randint(-9, 10, 3)
        cv2.rectangle(street, (x, top), (x + width, 420), wall.tolist(), -1)
        for wx in range(x + 18, x + width - 30, 44):
            for wy in range(max(10, top + 24), 330, 70):
                glass = random.randint(50, 110)
                cv2.rectangle(street, (wx, wy), (wx + 24, wy + 42), [glass + 18, glass + 6, glass], -1)
        cv2.rectangle(street, (x, 330), (x + width, 420), (wall * 0.55).tolist(), -1)
        x += width
    street[420:] = np.array([128, 130, 132], np.float32) * np.linspace(0.8, 1.1, HEIGHT - 420)[:, None, None]
    for line in range(-2400, 3700, 260):
        cv2.line(street, (640 + (line - 640) // 5, 420), (line, HEIGHT), (108, 110, 112), 3, cv2.LINE_AA)
    return cv2.GaussianBlur(street, (0, 0), 3.2).astype(np.uint8)


def _crowd(outlines: list[Any]) -> Crowd | None:
    if not outlines:
        return None
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.array(outline, np.int32) for outline in outlines], 255, cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.8).astype(np.uint8)
    top = int(np.nonzero(mask.any(axis=1))[0][0])
    theirs = cv2.merge([mask[top:]] * 3).astype(np.uint8, copy=False)
    return Crowd(top=top, theirs=theirs, others=255 - theirs, solid=mask[top:] > 127)


def _light(stops: list[list[float]]) -> Image:
    """Return how bright each place is, 127 as the photograph: shade and sun by x, as [x, gain] stops."""
    gains = np.interp(np.arange(WIDTH), [stop[0] for stop in stops], [stop[1] for stop in stops])
    light = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    light[:] = np.clip(gains * 127, 0, 255).astype(np.uint8)[None, :, None]
    return light


def _weather(time_s: float) -> float:
    """Return the brightness of the whole street: a cloud comes and goes."""
    return 0.94 + 0.13 * math.sin(time_s * 0.52) - 0.16 * math.exp(-(((time_s - 15.5) / 1.6) ** 2))


def _sway(ground: Image, time_s: float, crowd: bool) -> Image:
    """Return the background with its crowd shifting from foot to foot by a pixel or two."""
    if not crowd:
        return np.array(ground, np.uint8)
    columns = np.arange(WIDTH, dtype=np.float32)
    rows = np.arange(HEIGHT, dtype=np.float32)
    lively = np.clip((rows - 140) / 80, 0, 1) * np.clip((660 - rows) / 240, 0, 1)
    sideways = 1.7 * np.sin(columns / 61 + 1.3 * time_s) * np.sin(columns / 23 + 0.7 * time_s)
    map_x = columns[None, :] + sideways[None, :] * lively[:, None]
    map_y = rows[:, None] + (0.9 * np.sin(columns / 47 + 2.1 * time_s))[None, :] * lively[:, None]
    moved = cv2.remap(ground, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=1)
    return moved.astype(np.uint8, copy=False)
