"""Secret memory of the real kernel: what others cannot read, what another process can be given, what is left after."""

from __future__ import annotations

import array
import mmap
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.adapters.secret_memory import BorrowedRegion, LinuxSecretMemory, OwnedRegion
from appliance.errors import InvariantError, TrustError
from appliance.ports.memory import SecretKind, SecretMemory, SecretRegion

ROOT = Path(__file__).resolve().parents[2]
SIZE = 3 * mmap.PAGESIZE + 100
HAS_MEMFD_SECRET = LinuxSecretMemory().allocate(1).kind == "memfd-secret"
needs_memfd_secret = pytest.mark.skipif(not HAS_MEMFD_SECRET, reason="this kernel has no memfd_secret")
KINDS: list[SecretKind] = ["memfd-secret", "locked-memory"]


def memory_of(kind: SecretKind) -> LinuxSecretMemory:
    return LinuxSecretMemory(use_memfd_secret=kind == "memfd-secret")


@pytest.fixture(params=[pytest.param("memfd-secret", marks=needs_memfd_secret), "locked-memory"])
def kind(request: pytest.FixtureRequest) -> SecretKind:
    return request.param


@pytest.fixture
def region(kind: SecretKind) -> Iterator[OwnedRegion]:
    region = memory_of(kind).allocate(SIZE)
    yield region
    region.close()


def address_of(region: SecretRegion) -> int:
    with region.view as view:
        return int(np.frombuffer(view, np.uint8).ctypes.data)


def borrowed(region: OwnedRegion) -> BorrowedRegion:
    return LinuxSecretMemory().map_readonly(os.dup(region.descriptor), SIZE)


def test_the_adapter_fulfils_the_port() -> None:
    memory: SecretMemory = LinuxSecretMemory()
    region: SecretRegion = memory.allocate(1)
    region.close()


def test_a_region_says_what_it_is_and_begins_with_zeros(region: OwnedRegion, kind: SecretKind) -> None:
    assert region.kind == kind
    assert region.size == SIZE
    with region.view as view:
        assert bytes(view) == bytes(SIZE)
    assert "SIZE" not in repr(region)


@needs_memfd_secret
def test_not_even_root_reads_memfd_secret_through_proc(region: OwnedRegion) -> None:
    with region.view as view:
        view[:5] = b"plain"
    if region.kind == "locked-memory":
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            assert os.pread(memory.fileno(), 5, address_of(region)) == b"plain"  # the control: this way of asking works
        return
    with open("/proc/self/mem", "rb", buffering=0) as memory, pytest.raises(OSError):
        os.pread(memory.fileno(), 5, address_of(region))


def test_the_pages_are_kept_from_dumps_children_and_swap(region: OwnedRegion) -> None:
    with region.view as view:
        view[:1] = b"x"
    flags = flags_of(address_of(region))
    assert {"dd", "dc", "lo"} <= flags  # do not dump, do not copy on fork, locked (proc(5))


def flags_of(address: int) -> set[str]:
    inside = False
    with open("/proc/self/smaps", encoding="ascii") as lines:
        for line in lines:
            head = line.split()[0]
            if "-" in head and not head.endswith(":"):
                start, _, end = head.partition("-")
                inside = int(start, 16) <= address < int(end, 16)
            elif inside and head == "VmFlags:":
                return set(line.split()[1:])
    raise AssertionError("no such mapping")


def test_the_descriptor_is_closed_on_exec(region: OwnedRegion) -> None:
    assert not os.get_inheritable(region.descriptor)


def test_a_frozen_region_gives_out_read_only_views(region: OwnedRegion) -> None:
    with region.view as view:
        view[:5] = b"plain"
    region.freeze()
    region.freeze()
    with region.view as view:
        assert view.readonly
        assert bytes(view[:5]) == b"plain"


def test_nobody_maps_frozen_locked_memory_writable() -> None:
    region = memory_of("locked-memory").allocate(SIZE)
    region.freeze()
    with pytest.raises(PermissionError):
        mmap.mmap(region.descriptor, SIZE)
    region.close()


def test_closing_writes_zeros_for_everybody_who_maps_it(region: OwnedRegion) -> None:
    with region.view as view:
        view[:] = b"x" * SIZE
    other = borrowed(region)
    with other.view as seen:
        assert bytes(seen) == b"x" * SIZE
    region.freeze()
    region.close()
    with other.view as seen:
        assert bytes(seen) == bytes(SIZE)
    other.close()


def test_closing_unmaps_the_pages_and_closes_the_descriptor(kind: SecretKind) -> None:
    before = secret_mappings()
    region = memory_of(kind).allocate(SIZE)
    descriptor = region.descriptor
    assert secret_mappings() == before + 1
    region.close()
    assert secret_mappings() == before
    with pytest.raises(OSError):
        os.fstat(descriptor)
    region.close()  # twice is fine


def secret_mappings() -> int:
    with open("/proc/self/maps", encoding="ascii") as lines:
        return sum("/secretmem" in line or "/memfd:lamppost-secret" in line for line in lines)


def test_a_closed_region_cannot_be_used(region: OwnedRegion) -> None:
    other = borrowed(region)
    region.close()
    other.close()
    for one in (region, other):
        with pytest.raises(InvariantError, match="after it was closed"):
            _ = one.view
        with pytest.raises(InvariantError, match="after it was closed"):
            _ = one.descriptor
        with pytest.raises(InvariantError, match="after it was closed"):
            one.freeze()


def test_a_region_that_is_still_looked_at_is_overwritten_all_the_same(region: OwnedRegion) -> None:
    array_of_it = np.frombuffer(region.view, np.uint8)
    array_of_it[:] = 7
    with pytest.raises(InvariantError, match="still held a view"):
        region.close()
    assert not array_of_it.any()
    del array_of_it
    region.close()


@pytest.mark.parametrize("size", [0, -1, 2**31 + 1])
def test_a_region_of_no_size_or_of_a_mad_one_is_a_bug_of_ours(size: int) -> None:
    with pytest.raises(InvariantError, match="1 to"):
        LinuxSecretMemory().allocate(size)


def test_an_ordinary_file_is_not_mapped_as_secret() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(SIZE))
        file.flush()
        check_refused(os.dup(file.fileno()))


def test_a_pipe_is_not_mapped_as_secret() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    check_refused(reading)


@pytest.mark.parametrize("name", ["lamppost-secret", "other"])
def test_a_memfd_that_could_shrink_under_us_is_not_mapped_as_secret(name: str) -> None:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, SIZE)
    check_refused(descriptor)


@pytest.mark.parametrize("size", [0, SIZE + 1, 2**40])
def test_more_than_there_is_is_not_mapped(region: OwnedRegion, size: int) -> None:
    check_refused(os.dup(region.descriptor), size)


def check_refused(descriptor: int, size: int = SIZE) -> None:
    with pytest.raises(TrustError) as caught:
        LinuxSecretMemory().map_readonly(descriptor, size)
    assert caught.value.rule == "memory-not-secret"
    with pytest.raises(OSError):
        os.fstat(descriptor)  # taken over, and closed


CHILD = """
import array, socket, sys
from appliance.adapters.secret_memory import LinuxSecretMemory
link = socket.socket(fileno=int(sys.argv[1]))
_, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(4))
descriptor = array.array("i", ancillary[0][2])[0]
region = LinuxSecretMemory().map_readonly(descriptor, int(sys.argv[2]))
with region.view as view:
    assert view.readonly
    found = bytes(view[:5])
link.sendall(found + region.kind.encode())
link.recv(1)
with region.view as view:
    link.sendall(b"zeros" if not any(view) else b"stays")
link.recv(1)
region.close()
"""


def test_another_process_maps_what_it_is_sent_and_sees_it_overwritten(region: OwnedRegion, kind: SecretKind) -> None:
    with region.view as view:
        view[:5] = b"plain"
    region.freeze()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(theirs.fileno()), str(SIZE)], pass_fds=(theirs.fileno(),), cwd=ROOT
        )
        theirs.close()
        ours.settimeout(30)
        descriptors = array.array("i", [region.descriptor])
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        assert ours.recv(100) == b"plain" + kind.encode()
        region.close()
        ours.sendall(b"x")
        assert ours.recv(100) == b"zeros"
        ours.sendall(b"x")
        assert child.wait(30) == 0


LIMITED = """
import os, resource, sys
from appliance.adapters.secret_memory import LinuxSecretMemory
from appliance.errors import ConfigError
memory = LinuxSecretMemory(use_memfd_secret=sys.argv[1] == "memfd-secret")
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)  # root may lock what it likes
before = len(os.listdir("/proc/self/fd"))
try:
    memory.allocate(1_000_000)
except ConfigError as error:
    print(error, len(os.listdir("/proc/self/fd")) - before)
"""


@pytest.mark.parametrize("kind", [pytest.param("memfd-secret", marks=needs_memfd_secret), "locked-memory"])
def test_too_low_a_limit_on_locked_memory_is_said_in_one_sentence(kind: SecretKind) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, kind], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT
    ).stdout
    assert "1000000 bytes of memory could not be locked" in said
    assert "LimitMEMLOCK=" in said
    assert said.strip().endswith(" 0")  # no descriptor is left open
