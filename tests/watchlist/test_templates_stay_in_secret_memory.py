"""After opening, templates stand in secret memory and nowhere else in the process: its whole memory is searched.

The process that opens is another one than the process that built the list, since that one had the templates anyway.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import watchlists_for_tests as lists

from appliance.adapters.secret_memory import LinuxSecretMemory

HAS_MEMFD_SECRET = LinuxSecretMemory().allocate(1).kind == "memfd-secret"
ROOT = Path(__file__).resolve().parents[2]
LIB = str(Path(lists.__file__).parent)
ROWS = 300
PLANTED = 7
PIECE_BYTES = 32

CHILD = """
import sys
sys.path[:0] = [sys.argv[1], "."]
import mmap
import watchlists_for_tests as lists
from appliance.adapters.secret_memory import LinuxSecretMemory
share_b = bytes.fromhex(sys.argv[3])
planted_at = int(sys.argv[4])
with open(sys.argv[2], "rb") as file:
    bundle = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
opened = lists.opened(bundle)
built = lists.BuiltBundle(
    bundle=b"", share_b=share_b, manifest=opened.statement, digest=opened.digest, signatures_missing=()
)
memory = LinuxSecretMemory(use_memfd_secret=sys.argv[5] == "memfd-secret")
gallery = lists.open_it(opened, built, memory=memory)
with gallery.region.view as view:
    planted = bytes(view[planted_at : planted_at + 256])  # the control: a copy that must be found
print("open", flush=True)
if sys.stdin.readline() == "close\\n":
    gallery.close()
    print("closed", flush=True)
    sys.stdin.readline()
"""


def readable_memory(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of each mapping that can be read at all."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as lines, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in lines.readlines():
            fields = line.split(maxsplit=5)
            start, _, end = fields[0].partition("-")
            name = fields[5].strip() if len(fields) > 5 else ""
            if not fields[1].startswith("r") or name in ("[vvar]", "[vsyscall]"):
                continue
            memory.seek(int(start, 16))
            try:
                yield name, memory.read(int(end, 16) - int(start, 16))
            except OSError:
                continue


def places_of(row: int, rows: bytes, pid: int) -> list[str]:
    """Return the names of the mappings that hold a piece of ``row``, from its start, middle or end."""
    width = lists.DIMENSION * 4
    whole = rows[row * width : (row + 1) * width]
    pieces = [whole[start : start + PIECE_BYTES] for start in (0, width // 2, width - PIECE_BYTES)]
    return [name for name, memory in readable_memory(pid) if any(piece in memory for piece in pieces)]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("memfd-secret", marks=pytest.mark.skipif(not HAS_MEMFD_SECRET, reason="no memfd_secret here")),
        "locked-memory",
    ],
)
def test_no_template_lies_outside_secret_memory_after_opening(kind: str, tmp_path: Path) -> None:
    entries = [lists.an_entry(number) for number in range(ROWS)]
    templates = lists.unit_rows(ROWS, seed=5)
    built = lists.a_bundle(entries, templates)
    (tmp_path / "bundle").write_bytes(built.bundle)
    rows = templates.tobytes()
    arguments = [LIB, str(tmp_path / "bundle"), built.share_b.hex(), str(PLANTED * lists.DIMENSION * 4), kind]
    secret = [] if kind == "memfd-secret" else ["/memfd:lamppost-secret (deleted)"]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        assert "" in places_of(PLANTED, rows, child.pid) or "[heap]" in places_of(PLANTED, rows, child.pid)
        for row in (0, 1, PLANTED + 1, ROWS // 2, ROWS - 1):
            assert places_of(row, rows, child.pid) == secret
        child.stdin.write("close\n")
        child.stdin.flush()
        assert child.stdout.readline() == "closed\n"
        for row in (0, 1, PLANTED + 1, ROWS // 2, ROWS - 1):
            assert places_of(row, rows, child.pid) == []
        child.stdin.close()
        assert child.wait(30) == 0
