"""Composes the demonstration's street: a clip of people passing, a watchlist and the ground truth beside it.

    python tools/street.py                  # .cache/street, unless it is up to date
    python tools/street.py --check          # and the comparison scores of everybody with every reference
    python tools/street.py --public         # .cache/street-public: only faces whose licence allows publication

The same seed gives the same frames, and with the same OpenCV build the same file (MPEG-4 part 2, one thread).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from appliance.errors import ConfigError, LamppostError  # noqa: E402
from appliance.model.ground_truth import GROUND_TRUTH_VERSION, FaceSeen, GroundTruth, Passage  # noqa: E402
from tools.street_check import print_check  # noqa: E402
from tools.street_people import read_picture, read_video  # noqa: E402
from tools.street_scene import Scene  # noqa: E402
from tools.street_walk import FRAMES_PER_SECOND, HEIGHT, WIDTH  # noqa: E402
from trt_engines.packages import cache_folder  # noqa: E402
from trt_engines.photographs import PHOTOGRAPHS, photograph  # noqa: E402

CODEC = "mp4v"
SECONDS_DEFAULT = 26.0
SEED_DEFAULT = 1
VIDEO, TRUTH, STAMP = "street.mp4", "street.truth.json", "street.sha256"
_REFERENCE_JPEG_QUALITY = 95

Told = Callable[[int, int], None]
"""Called with frames done and frames in all."""


def compose(scene_name: str, out: Path, *, seconds: float, seed: int, cache: Path, told: Told) -> bool:
    """Write clip, truth, watchlist and README into ``out``; return False if all that was there already.

    Nothing is left half-written: the folder is made beside and then put in place.

    Raises:
        ConfigError: ``out`` holds something that this program did not write, or a photograph's digest differs.
        TransientError: Photographs could not be fetched.
    """
    stamp = _stamp(scene_name, seconds, seed)
    if _is_up_to_date(out, stamp):
        return False
    if out.exists() and any(out.iterdir()) and not (out / STAMP).is_file():
        raise ConfigError(f"{out} holds files that are not a street; choose another folder with --out")
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        scene = Scene(scene_name, seed=seed, cache=cache)
        _write_watchlist(scene, fresh / "watchlist", cache)
        truth = _write_clip(scene, fresh / VIDEO, seconds, seed, told)
        (fresh / TRUTH).write_bytes(msgspec.json.encode(truth) + b"\n")
        (fresh / "README.txt").write_text(_readme(scene), encoding="utf-8")
        (fresh / STAMP).write_text(stamp + "\n", encoding="ascii")
        if out.exists():
            shutil.rmtree(out)
        fresh.replace(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def _is_up_to_date(out: Path, stamp: str) -> bool:
    found = out / STAMP
    complete = all((out / name).is_file() for name in (VIDEO, TRUTH, STAMP)) and (out / "watchlist").is_dir()
    return complete and found.read_text(encoding="ascii").strip() == stamp


def _stamp(scene_name: str, seconds: float, seed: int) -> str:
    """Return a digest over everything that the result depends on."""
    digest = hashlib.sha256(f"{scene_name} {seconds} {seed} {cv2.__version__} {CODEC}\n".encode())
    here = Path(__file__).resolve().parent
    for path in sorted([*here.glob("street*.py"), *here.glob("street*.toml"), ROOT / "trt_engines/photographs.toml"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write_clip(scene: Scene, path: Path, seconds: float, seed: int, told: Told) -> GroundTruth:
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODEC), float(FRAMES_PER_SECOND), (WIDTH, HEIGHT)
    )
    if not writer.isOpened():
        raise ConfigError(f"OpenCV cannot write {CODEC}: install opencv-python-headless from the package index")
    total = round(min(seconds, scene.seconds) * FRAMES_PER_SECOND)
    faces: dict[int, list[FaceSeen]] = {}
    for index, (frame, seen) in enumerate(scene.frames(seconds)):
        writer.write(frame)
        for face in seen:
            x, y, width, height = (round(float(value), 1) for value in face.box)
            faces.setdefault(face.walk, []).append(FaceSeen(index, x, y, width, height, round(face.visible, 3)))
        told(index + 1, total)
    writer.release()
    return _truth(scene, faces, total, seed)


def _truth(scene: Scene, faces: dict[int, list[FaceSeen]], frames: int, seed: int) -> GroundTruth:
    passages = tuple(
        Passage(
            passage=f"P-{number + 1:02}",
            identity=scene.identity(scene.walks[number]),
            reference=scene.walks[number].reference,
            source=str(scene.source(scene.walks[number])),
            conditions=scene.walks[number].conditions,
            first_frame=seen[0].frame,
            last_frame=seen[-1].frame,
            faces=tuple(seen),
        )
        for number, seen in sorted(faces.items())
    )
    return GroundTruth(
        version=GROUND_TRUTH_VERSION,
        scene=scene.name,
        seed=seed,
        frames_per_second=float(FRAMES_PER_SECOND),
        width=WIDTH,
        height=HEIGHT,
        frames=frames,
        references=tuple(reference["code"] for reference in scene.references),
        passages=passages,
    )


def _write_watchlist(scene: Scene, folder: Path, cache: Path) -> None:
    """Write ``CODE.jpg`` for a reference with one picture and ``CODE/1.jpg`` and so on for one with several."""
    folder.mkdir()
    for reference in scene.references:
        code, images = reference["code"], reference["images"]
        for number, image in enumerate(images, start=1):
            path = folder / f"{code}.jpg" if len(images) == 1 else folder / code / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            source = photograph(image["photograph"], cache)
            if "frame" in image:
                picture = read_video(source, image["frame"], image["frame"])[0]
            else:
                picture = read_picture(source)
            left, top, right, low = image.get("crop", [0, 0, picture.shape[1], picture.shape[0]])
            written = np.ascontiguousarray(picture[top:low, left:right])
            cv2.imwrite(str(path), written, [cv2.IMWRITE_JPEG_QUALITY, _REFERENCE_JPEG_QUALITY])


def _readme(scene: Scene) -> str:
    used = {source for walk in scene.walks if (source := scene.source(walk)) is not None}
    used |= {image["photograph"] for reference in scene.references for image in reference["images"]}
    used |= set(scene.backgrounds)
    lines = [
        "A street composed by tools/street.py from real photographs and videos; nobody in it ever met.",
        "Faces in it must not be published unless marked so below.",
        "",
    ]
    for name in sorted(used):
        entry = PHOTOGRAPHS[name]
        may = "may be published" if entry.may_be_published else "not to be published"
        lines.append(f"{name}: {entry.shows}\n    {entry.package.file}, {entry.member}\n    {entry.licence}; {may}")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder to write (default: .cache/street)")
    parser.add_argument("--seconds", type=float, default=SECONDS_DEFAULT, help="length; at most the scene's")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="of gait, cloth and noise")
    parser.add_argument("--public", action="store_true", help="only faces whose licence allows publication")
    parser.add_argument("--check", action="store_true", help="print everybody's comparison scores")
    return parser


def main() -> int:
    """Run the program; return its exit status."""
    chosen = _parser().parse_args()
    console = Console(stderr=True)
    cache = cache_folder()
    name = "public" if chosen.public else "street"
    out = chosen.out or cache / ("street-public" if chosen.public else "street")
    try:
        if not 0 < chosen.seconds <= 600 or chosen.seed < 0:
            raise ConfigError("--seconds must be between 0 and 600 and --seed 0 or more")
        with Progress(console=console) as progress:
            task = progress.add_task("Composing the street", total=None)
            made = compose(
                name,
                out.absolute(),
                seconds=chosen.seconds,
                seed=chosen.seed,
                cache=cache,
                told=lambda done, total: progress.update(task, completed=done, total=total),
            )
            progress.update(task, total=1, completed=1)
        console.print(f"{out / VIDEO}: {'composed' if made else 'up to date'}")
        if chosen.check:
            print_check(out, cache)
    except LamppostError as error:
        console.print(str(error), style="red", highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
