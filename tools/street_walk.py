"""Where everybody is: straight walks through a street seen by one fixed camera, and the order in which they hide
each other.

Rules of this module:
    1. A camera with its eye at the height of most heads looks along the street, so that faces of all sizes lie about
       the horizon and nobody's feet are seen floating.
    2. A walk is a straight line on the ground at constant speed; size follows from the distance.
    3. Nothing here knows pixels but the numbers that place them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, FRAMES_PER_SECOND = 1280, 720, 25

HORIZON_PX = 238.0
FACE_METRES = 0.15
FOCAL_PX = 3227.0
"""A face 0.15 m wide is 44 pixels wide at 11 m and 160 pixels at 3 m: a long lens, as on a lamppost."""

STEPS_PER_SECOND = 1.9
SHUTTER = 0.45
"""Part of a frame's time during which the shutter is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """One person in one frame.

    Attributes:
        x: Middle of the chin, pixels.
        y: The chin, pixels.
        face: Width of the face in pixels.
        metres: Distance from the camera.
        lean: Turn of the whole body in degrees.
        nod: Further turn of the head in degrees.
        smear: Length of the motion blur in pixels.
    """

    x: float
    y: float
    face: float
    metres: float
    lean: float
    nod: float
    smear: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One pass of one person.

    Attributes:
        person: Name in the cast.
        reference: Code on the watchlist, or None.
        start_s: Seconds; negative for somebody who is already on the way when the clip begins.
        seconds: How long the walk takes.
        from_px: Where it begins: x in pixels, distance in metres.
        to_px: Where it ends.
        conditions: What is difficult about it, in words.
        gain: Brightness of this person, 1 as the street.
        defocus: Gaussian blur in pixels, beside that of the distance.
        nod: Largest turn of the head in degrees.
        phase: Of the gait, radians.
    """

    person: str
    reference: str | None
    start_s: float
    seconds: float
    from_px: tuple[float, float]
    to_px: tuple[float, float]
    conditions: tuple[str, ...]
    gain: float
    defocus: float
    nod: float
    phase: float

    def active(self, time_s: float) -> bool:
        """Return whether the person is on the way."""
        return self.start_s <= time_s < self.start_s + self.seconds

    def place(self, time_s: float) -> tuple[float, float]:
        """Return x in pixels and the distance in metres."""
        part = (time_s - self.start_s) / self.seconds
        (x0, z0), (x1, z1) = self.from_px, self.to_px
        across = (x0 - WIDTH / 2) * z0 * (1 - part) + (x1 - WIDTH / 2) * z1 * part
        metres = z0 * (1 - part) + z1 * part
        return WIDTH / 2 + across / metres, metres

    def pose(self, time_s: float, *, tall: float, face_ratio: float) -> Pose:
        """Return where and how the person is drawn.

        Args:
            time_s: Seconds since the clip began.
            tall: Height of the eyes above the camera in face widths.
            face_ratio: Height of the face for a width of 1.
        """
        x, metres = self.place(time_s)
        before, _ = self.place(time_s - 1 / FRAMES_PER_SECOND)
        face = FOCAL_PX * FACE_METRES / metres
        gait = math.pi * STEPS_PER_SECOND * time_s + self.phase
        return Pose(
            x=x + 0.045 * face * math.sin(gait),
            y=HORIZON_PX + face * (0.6 * face_ratio - tall + 0.045 * abs(math.sin(gait))),
            face=face,
            metres=metres,
            lean=1.2 * math.sin(gait),
            nod=self.nod * math.sin(0.55 * gait + 1.7 * self.phase),
            smear=SHUTTER * abs(x - before),
        )


def walk_from(entry: Mapping[str, Any], number: int, seed: int) -> Walk:
    """Return one ``walk`` entry of a scene."""
    return Walk(
        person=entry["person"],
        reference=entry.get("reference"),
        start_s=float(entry["start_s"]),
        seconds=float(entry["seconds"]),
        from_px=(float(entry["from"][0]), float(entry["from"][1])),
        to_px=(float(entry["to"][0]), float(entry["to"][1])),
        conditions=tuple(entry.get("conditions", ())),
        gain=float(entry.get("gain", 1.0)),
        defocus=float(entry.get("defocus", 0.0)),
        nod=float(entry.get("nod", 3.0)),
        phase=((number * 2654435761 + seed * 40503) % 6283) / 1000,
    )
