"""P1, as far as ONNX Runtime goes: after scrubbing, no row of the picture is left in the process's memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trt_engines.prepare import ModelPaths

ROOT = Path(__file__).resolve().parents[2]
NEEDLE_BYTES = 48
ROWS = 8
REGION_BYTES_MAX = 2**30


def rows_left(pid: int, picture: np.ndarray) -> int:
    """Return how many of the picture's rows start somewhere in the memory of a process, as bytes or as floats."""
    rows = picture.reshape(-1, picture.shape[2] * 3)
    starts = rows[:: max(1, len(rows) // ROWS), :NEEDLE_BYTES]
    needles = [row.tobytes() for row in starts] + [row[:12].astype(np.float32).tobytes() for row in starts]
    found: set[bytes] = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            first, last = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw") or last - first > REGION_BYTES_MAX or "[v" in line:
                continue
            memory.seek(first)
            content = memory.read(last - first)
            found.update(needle for needle in needles if needle in content)
    return len(found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("role", "shape"), [("detector", (1, 720, 1280, 3)), ("embedder", (4, 112, 112, 3))])
def test_scrubbing_leaves_nothing_of_a_picture(models: ModelPaths, role: str, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(77).integers(0, 256, shape, dtype=np.uint8)
    card = models.detector if role == "detector" else models.embedder
    command = [sys.executable, str(ROOT / "tests/lib/engine_child.py"), str(card), "77", *map(str, shape[:3])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "looked\n"
            # The child still holds its picture: without this the test would also pass where it cannot see anything.
            assert rows_left(child.pid, picture) >= ROWS
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "scrubbed\n"
            assert rows_left(child.pid, picture) == 0
        finally:
            child.kill()
