"""Sockets between the processes: whole datagrams, known users, one peer, bounded waiting, no leaked descriptors."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.adapters.system_clock import SystemClock
from appliance.adapters.unix_sockets import PATH_BYTES_MAX, Listener, UnixChannel, connect
from appliance.errors import ConfigError, InvariantError, TransientError, TrustError
from appliance.ports.channel import ChannelClosed
from appliance.wire.local import DATAGRAM_BYTES_MAX

US = (os.getuid(),)
CLOCK = SystemClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def pair(path: Path) -> Iterator[tuple[UnixChannel, UnixChannel]]:
    """The listening end (which accepts descriptors, and waits briefly when it sends) and the connecting end."""
    with closing(Listener(path, US, accepts_descriptors=True, send_timeout_s=0.05)) as listener:
        ours = connect(path, clock=CLOCK, timeout_s=1)
        theirs = _accepted(listener)
        with closing(ours), closing(theirs):
            yield theirs, ours


def _accepted(listener: Listener) -> UnixChannel:
    assert select.select([listener], [], [], 2)[0]
    channel = listener.accept()
    assert channel is not None
    return channel


def _flood(channel: UnixChannel, sent: list[int]) -> None:
    for number in range(1_000):
        channel.send(b"x" * DATAGRAM_BYTES_MAX)
        sent.append(number)


def _open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def _raw(path: Path) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    raw.connect(str(path))
    return raw


@pytest.mark.parametrize("size", [0, DATAGRAM_BYTES_MAX + 1])
def test_a_datagram_of_no_or_too_many_bytes_is_never_sent(pair: tuple[UnixChannel, UnixChannel], size: int) -> None:
    with pytest.raises(InvariantError):
        pair[1].send(b"x" * size)


def test_a_datagram_that_does_not_fit_is_refused_whole(path: Path) -> None:
    with closing(Listener(path, US)) as listener, _raw(path) as raw:
        channel = _accepted(listener)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * DATAGRAM_BYTES_MAX)
        raw.send(b"x" * (DATAGRAM_BYTES_MAX + 1))
        raw.send(b"next")
        with pytest.raises(TrustError) as refusal:
            channel.receive(1)
        assert refusal.value.rule == "local-truncated"
        received = channel.receive(1)
        assert received is not None
        assert received.datagram == b"next"
        channel.close()


@pytest.mark.parametrize(("accepts", "sent"), [(False, 1), (True, 2), (False, 3), (True, 40)])
def test_descriptors_that_nobody_expects_are_closed_and_refuse_the_datagram(
    path: Path, accepts: bool, sent: int
) -> None:
    with closing(Listener(path, US, accepts_descriptors=accepts)) as listener, _raw(path) as raw:
        channel = _accepted(listener)
        before = _open_descriptors()
        socket.send_fds(raw, [b"hello"], [raw.fileno()] * sent)
        with pytest.raises(TrustError) as refusal:
            channel.receive(1)
        assert refusal.value.rule in {"local-descriptor-unexpected", "local-truncated"}
        assert _open_descriptors() == before
        channel.close()


def test_a_descriptor_beside_an_empty_datagram_is_closed(path: Path) -> None:
    with closing(Listener(path, US, accepts_descriptors=True)) as listener, _raw(path) as raw:
        channel = _accepted(listener)
        before = _open_descriptors()
        raw.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, raw.fileno().to_bytes(4, "little"))])
        with pytest.raises(ChannelClosed):
            channel.receive(1)
        assert _open_descriptors() == before
        channel.close()


def test_another_user_is_turned_away(path: Path) -> None:
    with closing(Listener(path, {os.getuid() + 1})) as listener, closing(connect(path, clock=CLOCK, timeout_s=1)) as us:
        assert select.select([listener], [], [], 2)[0]
        assert listener.accept() is None
        assert listener.refused == 1
        with pytest.raises(ChannelClosed):
            us.receive(1)


def test_a_listener_of_another_user_is_not_talked_to(path: Path) -> None:
    with closing(Listener(path, US)), pytest.raises(TrustError) as refusal:
        connect(path, clock=CLOCK, timeout_s=1, allowed_uids={os.getuid() + 1})
    assert refusal.value.rule == "local-peer-unexpected"


def test_a_second_peer_is_turned_away_while_the_first_lives(path: Path) -> None:
    with closing(Listener(path, US)) as listener:
        first = connect(path, clock=CLOCK, timeout_s=1)
        kept = _accepted(listener)
        second = connect(path, clock=CLOCK, timeout_s=1)
        assert listener.accept() is None
        with pytest.raises(ChannelClosed):
            second.receive(1)
        first.send(b"still here")
        received = kept.receive(1)
        assert received is not None
        assert received.datagram == b"still here"
        for channel in (first, kept, second):
            channel.close()


def test_a_new_peer_comes_in_once_the_first_is_dead(path: Path) -> None:
    with closing(Listener(path, US)) as listener:
        connect(path, clock=CLOCK, timeout_s=1).close()
        first = _accepted(listener)
        again = connect(path, clock=CLOCK, timeout_s=1)
        second = _accepted(listener)
        assert first.is_dead
        assert not second.is_dead
        for channel in (first, again, second):
            channel.close()


def test_a_peer_that_reads_nothing_is_a_transient_error_after_a_bounded_wait(
    pair: tuple[UnixChannel, UnixChannel],
) -> None:
    sent: list[int] = []
    with pytest.raises(TransientError) as refusal:
        _flood(pair[0], sent)
    assert not isinstance(refusal.value, ChannelClosed)
    arrived = 0
    while pair[1].receive(0) is not None:
        arrived += 1
    assert arrived == len(sent) >= 1


def test_nothing_within_the_time_is_none(pair: tuple[UnixChannel, UnixChannel]) -> None:
    assert pair[0].receive(0) is None
    assert pair[0].receive(0.01) is None


def test_what_was_sent_before_the_end_is_received_before_the_end_is_told(
    pair: tuple[UnixChannel, UnixChannel],
) -> None:
    pair[1].send(b"last words")
    pair[1].close()
    received = pair[0].receive(1)
    assert received is not None
    assert received.datagram == b"last words"
    with pytest.raises(ChannelClosed):
        pair[0].receive(1)
    with pytest.raises(ChannelClosed):
        pair[0].send(b"anybody?")


def test_a_closed_channel_says_so(pair: tuple[UnixChannel, UnixChannel]) -> None:
    pair[0].close()
    pair[0].close()
    assert pair[0].fileno() == -1
    with pytest.raises(ChannelClosed):
        pair[0].receive(0)
    with pytest.raises(ChannelClosed):
        pair[0].send(b"x")


def test_the_longest_datagram_arrives_whole_with_its_descriptor(pair: tuple[UnixChannel, UnixChannel]) -> None:
    memory = os.memfd_create("test")
    os.write(memory, b"inside")
    longest = os.urandom(DATAGRAM_BYTES_MAX)
    pair[1].send(longest, memory)
    os.close(memory)
    received = pair[0].receive(1)
    assert received is not None
    assert received.descriptor is not None
    assert received.datagram == longest
    assert os.pread(received.descriptor, 10, 0) == b"inside"
    assert not os.get_inheritable(received.descriptor)
    os.close(received.descriptor)


def test_both_ends_know_the_process_of_the_other(pair: tuple[UnixChannel, UnixChannel]) -> None:
    assert {pair[0].peer_pid, pair[1].peer_pid} == {os.getpid()}
    assert pair[0].peer_uid == os.getuid()


def test_the_socket_file_is_ours_alone_and_goes_with_the_listener(path: Path) -> None:
    listener = Listener(path, US)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.close()
    listener.close()
    assert not path.exists()


def test_the_file_of_a_dead_listener_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(path))
    assert path.exists()
    with closing(Listener(path, US)), closing(connect(path, clock=CLOCK, timeout_s=0)):
        pass


def test_a_live_listener_is_not_replaced(path: Path) -> None:
    with closing(Listener(path, US)) as listener:
        with pytest.raises(ConfigError, match="another process listens"):
            Listener(path, US)
        _accepted(listener).close()
        with closing(connect(path, clock=CLOCK, timeout_s=0)):
            pass


def test_a_file_that_is_no_socket_is_not_removed(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is not a socket"):
        Listener(path, US)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("bad", ["missing/s", "x" * (PATH_BYTES_MAX + 1)])
def test_a_path_that_cannot_be_is_a_config_error(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ConfigError):
        Listener(tmp_path / bad, US)


def test_connecting_waits_for_the_listener_and_then_gives_up(path: Path) -> None:
    started = CLOCK.boot_ns()
    with pytest.raises(TransientError, match="nobody listens"):
        connect(path, clock=CLOCK, timeout_s=0.1)
    assert 0.1 <= (CLOCK.boot_ns() - started) / 1e9 < 1
