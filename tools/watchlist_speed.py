"""Prints how long it takes to build a bundle from templates, to open it into the gallery, and to close it.

    python tools/watchlist_speed.py                              # 15,000 entries, 512 numbers a template
    python tools/watchlist_speed.py --entries 2000 --dimension 128 --locked-memory

Opening is everything that lies between the file in the page cache and a gallery that the eye may be given: signatures,
the digest of the body, decryption and all checks. The best and the median of ``--rounds`` are printed.
"""

from __future__ import annotations

import argparse
import mmap
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests" / "lib", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import watchlists_for_tests as lists  # noqa: E402

from appliance.adapters.secret_memory import LinuxSecretMemory  # noqa: E402
from appliance.watchlist import look_alikes  # noqa: E402


def main() -> None:
    """Build once, open and close ``--rounds`` times, print."""
    arguments = _arguments()
    entries = [lists.an_entry(number) for number in range(arguments.entries)]
    templates = lists.unit_rows(arguments.entries, arguments.dimension, seed=1)
    begun = time.perf_counter()
    built = lists.a_bundle(entries, templates)
    print(f"built  {arguments.entries} x {arguments.dimension}: {time.perf_counter() - begun:.2f} s", flush=True)
    memory = LinuxSecretMemory(use_memfd_secret=not arguments.locked_memory)
    opened_ms, closed_ms, kind = [], [], ""
    with tempfile.NamedTemporaryFile() as file:
        file.write(built.bundle)
        file.flush()
        for _ in range(arguments.rounds):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bundle:
                begun = time.perf_counter()
                opened = lists.opened(bundle)
                gallery = lists.open_it(opened, built, memory=memory)
                opened_ms.append(1e3 * (time.perf_counter() - begun))
                kind = gallery.region.kind
                begun = time.perf_counter()
                gallery.close()
                closed_ms.append(1e3 * (time.perf_counter() - begun))
                opened.body.release()
    print(f"opened into {kind}: best {min(opened_ms):.0f} ms, median {statistics.median(opened_ms):.0f} ms")
    print(f"closed (overwritten, unmapped): worst {max(closed_ms):.0f} ms")
    if arguments.look_alikes:
        begun = time.perf_counter()
        found = look_alikes(templates, lists.owners_of(entries), threshold=0.5)
        print(f"compared with itself: {time.perf_counter() - begun:.1f} s, {len(found)} pairs")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=15_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--locked-memory", action="store_true", help="as on a kernel without memfd_secret")
    parser.add_argument("--look-alikes", action="store_true", help="compare the list with itself, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
