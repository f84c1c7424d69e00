"""Do the prepared models see what the published ones see? Compared on real photographs, with OpenCV as the judge.

OpenCV's FaceDetectorYN and FaceRecognizerSF run the published files as they are, with code that shares nothing with
ours. A customer's own model that FaceRecognizerSF cannot feed (other size, mean or scale) is compared with its clean
flavour instead, which is said in the table.

Rules of this module:
    1. Every face that either side finds must be found by the other, and overlap; a face near the threshold counts
       when the other side sees it a little below.
    2. Both networks embed the same aligned pictures: alignment has tests of its own.
    3. Scores and features leave this module only as the worst agreement of a whole photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from appliance.adapters.onnxruntime_engine import OnnxRuntimeEngine
from appliance.biometrics.alignment import similarity_to_template
from appliance.biometrics.yunet import decode_detections
from appliance.errors import ConfigError
from appliance.model.frames import Detections, Floats, Pixels
from appliance.model.model_card import ModelCard
from trt_engines.fetch import published_model
from trt_engines.manifest import Manifest, ModelEntry, bundled_manifest
from trt_engines.photographs import PHOTOGRAPHS, photograph
from trt_engines.prepare import prepare

IOU_MIN = 0.95
COSINE_MIN = 0.999
SCORE_MIN = 0.6
SCORE_SLACK = 0.02
NMS_IOU = 0.3
FACES_MAX = 500
PICTURE_SUFFIXES = (".jpg", ".png")

Embed = Callable[[Pixels], Floats]
"""``(n, height, width, 3)`` uint8 BGR to ``(n, dimension)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How well one photograph agrees.

    Attributes:
        photograph: Its name.
        faces: That OpenCV finds.
        unmatched: That only one of the two finds.
        iou_min: Worst overlap of two boxes, 1 where there are no faces.
        cosine_min: Worst cosine of two features, 1 where there are no faces.
        reference: What the features were compared with.
    """

    photograph: str
    faces: int
    unmatched: int
    iou_min: float
    cosine_min: float
    reference: str

    @property
    def met(self) -> bool:
        """Whether the prepared models may be used."""
        return self.unmatched == 0 and self.iou_min >= IOU_MIN and self.cosine_min >= COSINE_MIN


def default_photographs() -> tuple[str, ...]:
    """Return every still picture of the list."""
    return tuple(name for name, entry in PHOTOGRAPHS.items() if entry.file_name.endswith(PICTURE_SUFFIXES))


def verify(
    manifest: Manifest, *, folder: Path, cache: Path, photographs: Sequence[str] = (), threads: int = 2
) -> Iterator[Comparison]:
    """Compare a manifest's default models with their published files, one photograph after the other.

    A manifest with only one role is completed by the bundled one.

    Raises:
        ConfigError: A digest differs, a photograph is unknown, or OpenCV cannot read a published file.
        TransientError: The package index cannot be reached.
    """
    detector = _Side.of(manifest, "detector", folder=folder, cache=cache)
    embedder = _Side.of(manifest, "embedder", folder=folder, cache=cache)
    engines = tuple(OnnxRuntimeEngine(side.card_path, threads=threads) for side in (detector, embedder))
    judge = _opencv_detector(detector.published)
    reference, embed = _reference(embedder)
    for name in photographs or default_photographs():
        picture = cv2.imread(str(photograph(name, cache)))
        if picture is None:
            raise ConfigError(f"the photograph {name} cannot be decoded: delete it from the cache and try again")
        pixels = np.asarray(picture, np.uint8)
        theirs, ours = _detect_opencv(judge, pixels), _detect(engines[0], pixels)
        unmatched, iou = agreement(theirs, ours)
        yield Comparison(
            photograph=name,
            faces=int((theirs.scores >= SCORE_MIN).sum()),
            unmatched=unmatched,
            iou_min=iou,
            cosine_min=_worst_cosine(pixels, theirs, engines[1], embed),
            reference=reference,
        )


def agreement(theirs: Detections, ours: Detections) -> tuple[int, float]:
    """Return how many faces only one side finds, and the worst overlap of those that both find.

    Both were searched for with ``SCORE_MIN - SCORE_SLACK``; only faces with ``SCORE_MIN`` must be on the other side.
    """
    overlaps = overlap(theirs.boxes, ours.boxes)
    sure_theirs, sure_ours = theirs.scores >= SCORE_MIN, ours.scores >= SCORE_MIN
    best_theirs = overlaps.max(axis=1, initial=0.0)[sure_theirs]
    best_ours = overlaps.max(axis=0, initial=0.0)[sure_ours]
    best = np.concatenate([best_theirs, best_ours])
    paired = best[best > NMS_IOU]
    return len(best) - len(paired), float(paired.min(initial=1.0))


def overlap(first: Floats, second: Floats) -> Floats:
    """Return intersection over union of every pair, ``(n, m)``, of boxes x, y, width, height ``(n, 4)``, ``(m, 4)``."""
    a, b = first[:, None], second[None]
    across = np.minimum(a[..., 0] + a[..., 2], b[..., 0] + b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    down = np.minimum(a[..., 1] + a[..., 3], b[..., 1] + b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    entry: ModelEntry
    published: bytes
    card_path: Path
    card: ModelCard

    @classmethod
    def of(cls, manifest: Manifest, role: str, *, folder: Path, cache: Path) -> _Side:
        if all(entry.role != role for entry in manifest.model.values()):
            manifest = bundled_manifest()
        name = manifest.default("detector" if role == "detector" else "embedder")
        prepared = prepare(manifest, name, folder=folder, cache=cache)
        published = published_model(manifest, name, folder=folder, cache=cache)
        return cls(entry=manifest.model[name], published=published, card_path=prepared.card_path, card=prepared.card)


def _opencv_detector(published: bytes) -> cv2.FaceDetectorYN:
    try:
        return cv2.FaceDetectorYN.create(
            "onnx",
            np.frombuffer(published, np.uint8),
            np.empty(0, np.uint8),
            (320, 320),
            SCORE_MIN - SCORE_SLACK,
            NMS_IOU,
            5_000,
        )
    except cv2.error as error:
        raise ConfigError(
            "OpenCV's FaceDetectorYN cannot read the published detector: it cannot be verified"
        ) from error


def _detect_opencv(judge: cv2.FaceDetectorYN, pixels: Pixels) -> Detections:
    judge.setInputSize((pixels.shape[1], pixels.shape[0]))
    found = judge.detect(pixels)[1]
    faces = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
    return Detections(boxes=faces[:, :4], landmarks=faces[:, 4:14].reshape(-1, 5, 2), scores=faces[:, 14])


def _detect(engine: OnnxRuntimeEngine, pixels: Pixels) -> Detections:
    height, width = pixels.shape[:2]
    return decode_detections(
        engine.run(pixels[None]),
        width=width,
        height=height,
        score_min=SCORE_MIN - SCORE_SLACK,
        nms_iou=NMS_IOU,
        top_k=FACES_MAX,
    )


def _reference(side: _Side) -> tuple[str, Embed]:
    """Return what the features are compared with, and how it computes them."""
    spec = side.entry.input
    plain = spec.mean == (0.0, 0.0, 0.0) and spec.scale == (1.0, 1.0, 1.0)
    if spec.colour == "rgb" and plain and (spec.width, spec.height) == (112, 112):
        try:
            judge = cv2.FaceRecognizerSF.create("onnx", np.frombuffer(side.published, np.uint8), np.empty(0, np.uint8))
        except cv2.error:
            return _clean_reference(side)
        return "OpenCV", lambda pictures: np.concatenate([judge.feature(picture) for picture in pictures])
    return _clean_reference(side)


def _clean_reference(side: _Side) -> tuple[str, Embed]:
    session = ort.InferenceSession(
        side.card_path.with_name(side.card.clean.file).read_bytes(), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def embed(pictures: Pixels) -> Floats:
        planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
        return np.asarray(session.run(None, {name: planes})[0], np.float32)

    return "clean model", embed


def _worst_cosine(pixels: Pixels, faces: Detections, engine: OnnxRuntimeEngine, embed: Embed) -> float:
    card = engine.card
    matrices = similarity_to_template(faces.landmarks[faces.scores >= SCORE_MIN], card.template())
    worst = 1.0
    for matrix in matrices:
        aligned = cv2.warpAffine(pixels, matrix, (card.size.width, card.size.height))[None]
        (ours,) = engine.run(np.asarray(aligned, np.uint8)).values()
        worst = min(worst, _cosine(ours[0], embed(np.asarray(aligned, np.uint8))[0]))
    return worst


def _cosine(first: Floats, second: Floats) -> float:
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
