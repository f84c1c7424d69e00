"""Channels between the three processes: ``AF_UNIX`` ``SOCK_SEQPACKET`` sockets (unix(7)).

Rules of this module:
    1. The socket file belongs to us and has mode 0600 from before it has a name.
    2. The kernel says who the peer is (SO_PEERCRED), at both ends; a user who is not expected is turned away.
    3. A listener has one peer at a time. A second one is turned away, unless the first is dead.
    4. Descriptors arrive close-on-exec, one with a datagram, and only where they are expected (see the port).

It does not know what a datagram means.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import struct
from collections.abc import Collection
from pathlib import Path

from appliance.errors import ConfigError, InvariantError, TransientError, TrustError
from appliance.ports.channel import ChannelClosed, Received
from appliance.ports.clock import Clock
from appliance.wire.local import DATAGRAM_BYTES_MAX

SOCKET_MODE = 0o600
PATH_BYTES_MAX = 107
"""``sun_path`` has 108 bytes, of which the last is zero (unix(7))."""

SEND_TIMEOUT_S = 1.0
SEND_ATTEMPTS_MAX = 3
SEND_BUFFER_BYTES = 4 * DATAGRAM_BYTES_MAX
RETRY_FIRST_S = 0.02
RETRY_MAX_S = 0.5

_DESCRIPTOR = struct.Struct("i")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_ANCILLARY_BYTES = socket.CMSG_SPACE(4 * _DESCRIPTOR.size)
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ESHUTDOWN, errno.ECONNABORTED})
_NOBODY_THERE = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN})


class UnixChannel:
    """One end of a connection: a :class:`appliance.ports.channel.Channel`.

    Made by :class:`Listener` and :func:`connect`.
    """

    def __init__(self, connected: socket.socket, *, accepts_descriptors: bool, send_timeout_s: float) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._socket = connected
        self._accepts_descriptors = accepts_descriptors
        self._send_timeout_s = send_timeout_s
        self._peer_pid, self._peer_uid, _ = _credentials(connected)

    @property
    def peer_pid(self) -> int:
        """Process id of the other end when it connected."""
        return self._peer_pid

    @property
    def peer_uid(self) -> int:
        """User id of the other end when it connected."""
        return self._peer_uid

    def fileno(self) -> int:
        """Return the descriptor to watch for reading; -1 once closed."""
        return self._socket.fileno()

    def send(self, datagram: bytes, descriptor: int | None = None) -> None:
        """Send one datagram; see the port for the errors."""
        if not 1 <= len(datagram) <= DATAGRAM_BYTES_MAX:
            raise InvariantError(f"a datagram has 1 to {DATAGRAM_BYTES_MAX} bytes, not {len(datagram)}")
        beside = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))]
        for _ in range(SEND_ATTEMPTS_MAX):
            try:
                self._socket.sendmsg([datagram], beside, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                _wait(self._socket, select.POLLOUT, self._send_timeout_s)
            except OSError as error:
                raise _explained(error) from None
            else:
                return
        raise TransientError(f"the other process has read nothing for {self._send_timeout_s} s; nothing was sent")

    def receive(self, timeout_s: float) -> Received | None:
        """Return the next datagram or None; see the port for the errors."""
        found = self._receive_now()
        if found is None and timeout_s > 0 and _wait(self._socket, select.POLLIN, timeout_s):
            found = self._receive_now()
        return found

    def close(self) -> None:
        """End the connection. Safe to call twice."""
        self._socket.close()

    @property
    def is_dead(self) -> bool:
        """Whether this end is closed or the other one has hung up (what it sent before may still be unread)."""
        return self._socket.fileno() < 0 or bool(_wait(self._socket, 0, 0.0))

    def _receive_now(self) -> Received | None:
        try:
            datagram, beside, flags, _ = self._socket.recvmsg(
                DATAGRAM_BYTES_MAX, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise _explained(error) from None
        descriptors = _descriptors(beside)
        refusal = self._refusal(flags, len(descriptors))
        if refusal is not None or not datagram:
            for descriptor in descriptors:
                os.close(descriptor)
            # We never send an empty datagram, so this is the end (or a peer who wants us to think so).
            raise refusal or ChannelClosed("the other process has closed the connection")
        return Received(datagram=datagram, descriptor=descriptors[0] if descriptors else None)

    def _refusal(self, flags: int, descriptors: int) -> TrustError | None:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            return TrustError("local-truncated", f"expected at most {DATAGRAM_BYTES_MAX} bytes and one descriptor")
        if descriptors > int(self._accepts_descriptors):
            return TrustError("local-descriptor-unexpected", f"found {descriptors} descriptors beside a datagram")
        return None


class Listener:
    """Where the other processes come in, one at a time.

    Args:
        path: Of the socket file, at most ``PATH_BYTES_MAX`` bytes. Its folder exists and is writable by us alone.
        allowed_uids: Users whose processes may connect.
        accepts_descriptors: Whether the peer may send descriptors.
        send_timeout_s: How long :meth:`UnixChannel.send` waits at a time for a peer that does not read.

    Raises:
        ConfigError: The path is too long, its folder is missing, or another process listens there.
    """

    def __init__(
        self,
        path: Path,
        allowed_uids: Collection[int],
        *,
        accepts_descriptors: bool = False,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        _check_path(path)
        _remove_stale(path)
        self._path = path
        self._allowed_uids = frozenset(allowed_uids)
        self._accepts_descriptors = accepts_descriptors
        self._send_timeout_s = send_timeout_s
        self._peer: UnixChannel | None = None
        self.refused = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            os.fchmod(self._socket.fileno(), SOCKET_MODE)  # before bind: Linux gives the new file these bits
            self._socket.bind(str(path))
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"cannot listen at {path}: {error.strerror}; is its folder there and writable?") from None
        self._inode = path.lstat().st_ino
        self._socket.setblocking(False)
        self._socket.listen(4)

    def fileno(self) -> int:
        """Return the descriptor to watch for reading; -1 once closed."""
        return self._socket.fileno()

    def accept(self) -> UnixChannel | None:
        """Return the peer that has just connected, or None when nobody has, or nobody who may.

        Raises:
            ChannelClosed: The listener is closed.
        """
        try:
            connected, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            raise _explained(error) from None
        busy = self._peer is not None and not self._peer.is_dead
        if busy or _credentials(connected)[1] not in self._allowed_uids:
            self.refused += 1
            connected.close()
            return None
        self._peer = UnixChannel(
            connected, accepts_descriptors=self._accepts_descriptors, send_timeout_s=self._send_timeout_s
        )
        return self._peer

    def close(self) -> None:
        """Stop listening and remove the socket file, if it is still ours. Channels stay open. Safe to call twice."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        try:
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            pass


def connect(
    path: Path,
    *,
    clock: Clock,
    timeout_s: float,
    allowed_uids: Collection[int] | None = None,
    accepts_descriptors: bool = False,
    send_timeout_s: float = SEND_TIMEOUT_S,
) -> UnixChannel:
    """Return a channel to whoever listens at ``path``, trying again until ``timeout_s`` is over (0: once).

    A listener that turns us away closes the connection: the first receive then raises :class:`ChannelClosed`.

    Args:
        path: Of the socket file.
        clock: For the waiting between attempts.
        timeout_s: Greatest time to try, in seconds.
        allowed_uids: Users who may listen there; None: any.
        accepts_descriptors: Whether the peer may send descriptors.
        send_timeout_s: As for :class:`Listener`.

    Raises:
        TransientError: Nobody listened there in time.
        TrustError: ``local-peer-unexpected``: another user listens there.
        ConfigError: The path is too long, or we may not connect to it.
    """
    _check_path(path)
    deadline_ns = clock.boot_ns() + int(timeout_s * 1e9)
    pause_s = RETRY_FIRST_S
    while (connected := _try_connect(path)) is None:
        left_s = (deadline_ns - clock.boot_ns()) / 1e9
        if left_s <= 0:
            raise TransientError(f"nobody listens at {path}")
        clock.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, RETRY_MAX_S)
    if allowed_uids is not None and _credentials(connected)[1] not in allowed_uids:
        connected.close()
        raise TrustError("local-peer-unexpected", f"a process of another user listens at {path}")
    return UnixChannel(connected, accepts_descriptors=accepts_descriptors, send_timeout_s=send_timeout_s)


def _try_connect(path: Path) -> socket.socket | None:
    trying = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    trying.setblocking(False)
    try:
        trying.connect(str(path))
    except OSError as error:
        trying.close()
        if error.errno in _NOBODY_THERE:
            return None
        raise ConfigError(f"cannot connect to {path}: {error.strerror}; check who owns it") from None
    return trying


def _check_path(path: Path) -> None:
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise ConfigError(f"the socket path {path} is longer than {PATH_BYTES_MAX} bytes; choose a shorter folder")


def _remove_stale(path: Path) -> None:
    """Remove the file that a dead process left. A live listener, or any other kind of file, is not touched."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is there and is not a socket; move it away or choose another path")
    connected = _try_connect(path)
    if connected is not None:
        connected.close()
        raise ConfigError(f"another process listens at {path}; stop it first")
    path.unlink(missing_ok=True)


def _credentials(connected: socket.socket) -> tuple[int, int, int]:
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return pid, uid, gid


def _descriptors(beside: list[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in beside:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(data) - len(data) % _DESCRIPTOR.size
            found.extend(value for (value,) in _DESCRIPTOR.iter_unpack(data[:whole]))
    return found


def _wait(watched: socket.socket, events: int, timeout_s: float) -> bool:
    """Return whether one of ``events``, a hang-up or an error came within ``timeout_s``."""
    poller = select.poll()
    poller.register(watched, events)
    return bool(poller.poll(timeout_s * 1_000))


def _explained(error: OSError) -> TransientError:
    if error.errno in _GONE:
        return ChannelClosed("the other process is gone")
    return TransientError(f"the local socket failed: {error.strerror}")
