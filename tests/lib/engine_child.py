"""Run as a process of its own by a test that reads its memory: looks at one picture made from a seed, then scrubs.

Arguments: card, seed, n, height, width. Says ``looked`` and ``scrubbed``; goes on with each line that it reads.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from appliance.adapters.onnxruntime_engine import OnnxRuntimeEngine


def main(card: str, seed: str, n: str, height: str, width: str) -> None:
    """Look, wait, scrub, wait."""
    engine = OnnxRuntimeEngine(Path(card))
    picture = np.random.default_rng(int(seed)).integers(0, 256, (int(n), int(height), int(width), 3), dtype=np.uint8)
    outputs = engine.run(picture)
    print("looked", flush=True)
    sys.stdin.readline()
    picture.fill(0)
    engine.scrub()
    assert not any(output.any() for output in outputs.values())
    print("scrubbed", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
