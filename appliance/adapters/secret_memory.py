"""Secret memory from the Linux kernel: ``memfd_secret(2)``, or locked pages that say they are less.

Rules of this module:
    1. ``memfd_secret`` (Linux 5.14; on without a boot parameter since 6.5): the pages leave the kernel's own map, so
       that neither ``/proc/PID/mem`` nor a core dump nor swap sees them.
    2. Where the kernel has none, a ``memfd`` sealed against growing and shrinking, locked (``mlock``) and kept from
       dumps and children. It is ``locked-memory``, and says so: root can read it.
    3. Both are kept from forked children (``MADV_DONTFORK``) and closed on exec.
    4. Zeros are written before pages are unmapped, whoever else still holds a view.

The pages are shared: when the warden closes a region, an eye that hangs compares with zeros from then on.
Not covered: whoever can stop the process and run code in it (ptrace) reads what it reads.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import stat
import threading

import numpy as np

from appliance.errors import ConfigError, InvariantError, TrustError
from appliance.ports.memory import SecretKind

_SYS_MEMFD_SECRET = 447  # the same number on every architecture (Linux 5.14, arch/*/syscalls)
_F_SEAL_FUTURE_WRITE = 0x0010  # linux/fcntl.h; Python 3.10 has no name for it
_SECRETMEM_MAGIC_LINK = "secretmem"
_MEMFD_LINK = "/memfd:lamppost-secret"
_MEMFD_NAME = "lamppost-secret"
REGION_BYTES_MAX = 2**31
TOUCH_THREADS_MAX = 4
TOUCH_BYTES_MIN = 2**20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class LinuxSecretMemory:
    """Secret memory of this machine.

    Args:
        use_memfd_secret: False: do as on a kernel without it. For tests of the fallback.
    """

    def __init__(self, *, use_memfd_secret: bool = True) -> None:
        self._use_memfd_secret = use_memfd_secret

    def allocate(self, size: int) -> OwnedRegion:
        """Return ``size`` zero bytes, 1 to ``REGION_BYTES_MAX``."""
        if not 1 <= size <= REGION_BYTES_MAX:
            raise InvariantError(f"a secret region has 1 to {REGION_BYTES_MAX} bytes, not {size}")
        descriptor = _memfd_secret() if self._use_memfd_secret else None
        kind: SecretKind = "locked-memory" if descriptor is None else "memfd-secret"
        if descriptor is None:
            descriptor = os.memfd_create(_MEMFD_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            if kind == "locked-memory":
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
            mapping = _map(descriptor, size, mmap.PROT_READ | mmap.PROT_WRITE)
            _protect_pages(mapping, size, kind)
            if kind == "memfd-secret":  # locked pages are there from the start
                _touch(_address(mapping), size)
        except BaseException:
            os.close(descriptor)
            raise
        return OwnedRegion(mapping, descriptor, size, kind)

    def map_readonly(self, descriptor: int, size: int) -> BorrowedRegion:
        """Map a region of another process. See :class:`appliance.ports.memory.SecretMemory`."""
        try:
            kind = _kind_of(descriptor)
            found = os.fstat(descriptor).st_size
            if not 1 <= size <= found:
                raise TrustError("memory-not-secret", f"expected at least {size} bytes behind the descriptor")
            mapping = _map(descriptor, size, mmap.PROT_READ)
            _protect_pages(mapping, size, kind)
        except BaseException:
            os.close(descriptor)
            raise
        return BorrowedRegion(mapping, descriptor, size, kind)


class _Region:
    """What both sides of a region have in common."""

    def __init__(self, mapping: mmap.mmap, descriptor: int, size: int, kind: SecretKind) -> None:
        self._mapping = mapping
        self._descriptor = descriptor
        self._size = size
        self._kind = kind
        self._closed = False

    @property
    def descriptor(self) -> int:
        """Owned by the region."""
        self._require_open()
        return self._descriptor

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def kind(self) -> SecretKind:
        """How well it is kept."""
        return self._kind

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self._size}, kind={self._kind})"

    def _require_open(self) -> None:
        if self._closed:
            raise InvariantError("a secret region was used after it was closed")

    def _release(self) -> None:
        """Give the pages and the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        try:
            self._mapping.close()
        except BufferError:
            raise InvariantError("a secret region was closed while somebody still held a view of it") from None


class OwnedRegion(_Region):
    """A region that this process fills: see :class:`appliance.ports.memory.SecretRegion`."""

    def __init__(self, mapping: mmap.mmap, descriptor: int, size: int, kind: SecretKind) -> None:
        super().__init__(mapping, descriptor, size, kind)
        self._address = _address(mapping)
        self._frozen = False

    @property
    def view(self) -> memoryview:
        """All bytes; a new view each time, of which the caller lets go."""
        self._require_open()
        view = memoryview(self._mapping)
        return view.toreadonly() if self._frozen else view

    def freeze(self) -> None:
        """Make the pages read-only here; a ``locked-memory`` descriptor maps writable nowhere any more."""
        self._require_open()
        if self._frozen:
            return
        if self._kind == "locked-memory":
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)
        self._allow(mmap.PROT_READ)
        self._frozen = True

    def close(self) -> None:
        """Overwrite, then unmap."""
        if not self._closed:
            if self._frozen:
                self._allow(mmap.PROT_READ | mmap.PROT_WRITE)
            ctypes.memset(self._address, 0, self._size)
            self._closed = True
        self._release()

    def _allow(self, access: int) -> None:
        if _libc.mprotect(self._address, self._size, access) != 0:
            raise InvariantError(f"the access to a secret region could not be changed: {_reason()}")


class BorrowedRegion(_Region):
    """A region that another process filled, read only."""

    @property
    def view(self) -> memoryview:
        """All bytes, read-only; a new view each time, of which the caller lets go."""
        self._require_open()
        return memoryview(self._mapping)

    def freeze(self) -> None:
        """Nothing to do: it never was writable."""
        self._require_open()

    def close(self) -> None:
        """Unmap; the process that allocated it overwrites."""
        self._closed = True
        self._release()


def _memfd_secret() -> int | None:
    """Return a descriptor, or None where the kernel has no secret memory or does not let us have it."""
    descriptor = _libc.syscall(_SYS_MEMFD_SECRET, ctypes.c_uint(os.O_CLOEXEC))
    if descriptor >= 0:
        return int(descriptor)
    if ctypes.get_errno() in (errno.ENOSYS, errno.EPERM, errno.EACCES):  # not built in or switched off; seccomp
        return None
    raise ConfigError(f"memfd_secret failed: {_reason()}; raise the limit on open files")


def _map(descriptor: int, size: int, access: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=access)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EPERM):
            raise _limit_error(size) from error
        raise ConfigError(f"secret memory of {size} bytes could not be mapped: {error.strerror}") from error


def _protect_pages(mapping: mmap.mmap, size: int, kind: SecretKind) -> None:
    try:
        mapping.madvise(mmap.MADV_DONTFORK)
        if kind == "locked-memory":  # memfd_secret's pages are locked and undumped from birth
            mapping.madvise(mmap.MADV_DONTDUMP)
            if _libc.mlock(_address(mapping), size) != 0:
                raise _limit_error(size)
    except BaseException:
        mapping.close()
        raise


def _touch(address: int, size: int) -> None:
    """Have every page made now, by several threads: each is taken out of the kernel's own map, which takes its time.

    30 MiB took 190 ms by one thread and 65 ms by two, on a virtual machine (``memset`` runs without Python's lock).
    """
    share = max(TOUCH_BYTES_MIN, -(-size // TOUCH_THREADS_MAX))
    threads = [
        threading.Thread(target=ctypes.memset, args=(address + start, 0, min(share, size - start)))
        for start in range(0, size, share)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _limit_error(size: int) -> ConfigError:
    return ConfigError(
        f"{size} bytes of memory could not be locked, so the watchlist stays closed; "
        "raise the limit on locked memory (LimitMEMLOCK= in the unit, ulimit -l in a shell), or free some memory"
    )


def _kind_of(descriptor: int) -> SecretKind:
    """Say what a descriptor is by what the kernel calls it: an ordinary file is refused, it might shrink under us."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise TrustError("memory-not-secret", "expected a secret region behind the descriptor, found another thing")
    name = os.readlink(f"/proc/self/fd/{descriptor}")
    if name.removeprefix("/").startswith(_SECRETMEM_MAGIC_LINK):
        return "memfd-secret"
    needed = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    if name.startswith(_MEMFD_LINK) and fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & needed == needed:
        return "locked-memory"
    raise TrustError("memory-not-secret", "expected a secret region behind the descriptor, found another file")


def _address(mapping: mmap.mmap) -> int:
    """Return where a mapping lies, read-only ones too. The array that knows does not outlive this line."""
    return int(np.frombuffer(mapping, np.uint8).ctypes.data)


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
