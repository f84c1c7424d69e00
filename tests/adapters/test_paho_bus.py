"""The bus against a real Mosquitto: sessions, windows, answers, silence, and threads that die."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker_for_tests import CLOCK, PlainClient, RestartableBroker, a_broker, all_events, wait_for_event, wait_until

from appliance.adapters.mosquitto import free_port
from appliance.adapters.paho_bus import PahoBus
from appliance.adapters.paho_connection import Accepted, Ended, Fault, PahoConnection
from appliance.adapters.paho_settings import BusSettings, TlsFiles, Will, is_loopback, parse_address
from appliance.adapters.system_clock import SystemEntropy
from appliance.errors import ConfigError, TransientError
from appliance.ports.message_bus import Acknowledged, Connected, Delivery, Disconnected, Outgoing


class NoPause:
    """Entropy that draws the shortest pause."""

    def token(self, size: int) -> bytes:
        return b"\x01" * size


def settings(port: int, /, **changes: Any) -> BusSettings:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": port, "client_id": "box", "retry_first_s": 0.2}
    return BusSettings(**values | changes)


@contextmanager
def a_bus(port: int, **changes: Any) -> Iterator[PahoBus]:
    with closing(PahoBus(settings(port, **changes), clock=CLOCK, entropy=NoPause())) as bus:
        bus.start()
        yield bus


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RestartableBroker]:
    with a_broker(tmp_path / "broker", persistence=True) as running:
        yield running


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "broker.city.example"}, "another machine"),
        ({"host": "192.0.2.7"}, "another machine"),
        ({"host": "127.0.0.1.evil.example"}, "another machine"),
        ({"host": ""}, "HOST:PORT"),
        ({"port": 0}, "HOST:PORT"),
        ({"client_id": ""}, "client id"),
        ({"window_max": 0}, "windows"),
        ({"arrivals_max": 70_000}, "windows"),
        ({"packet_bytes_max": 0}, "packets"),
        ({"keepalive_s": 10, "silence_s_max": 20.0}, "silence_s_max"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(1883, **changes)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_plain_tcp_is_for_this_machine(host: str) -> None:
    assert is_loopback(host)
    settings(1883, host=host)


def test_tls_files_that_are_missing_are_named(tmp_path: Path) -> None:
    files = TlsFiles(authority=tmp_path / "ca.pem", certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        files.context()


@pytest.mark.parametrize(
    ("text", "address"),
    [("box", ("box", 1883)), ("box:8883", ("box", 8883)), ("[::1]:8883", ("::1", 8883)), ("[::1]", ("::1", 1883))],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":1883", "box:", "box:x", "box:0", "box:65536", "box:-1", "box:²"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_address(text)


# ---- coming and going ------------------------------------------------------------------------------------------------


def test_an_absent_broker_is_told_by_its_address_and_waited_for(tmp_path: Path) -> None:
    broker = RestartableBroker(tmp_path / "broker")
    with a_bus(broker.port) as bus:
        told = wait_for_event(bus, Disconnected)
        assert f"cannot reach the broker at 127.0.0.1:{broker.port}: Connection refused" in told.explanation
        assert bus.room == 0
        broker.start()
        wait_for_event(bus, Connected)
        broker.stop()


def test_nothing_is_queued_for_a_broker_that_is_not_there() -> None:
    with a_bus(free_port()) as bus, pytest.raises(TransientError):
        bus.publish(Outgoing(token="t", topic="a/b", payload=b"x"))


def test_the_session_is_kept_across_processes_and_what_came_meanwhile_arrives(broker: RestartableBroker) -> None:
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        assert not wait_for_event(bus, Connected).session_kept
        wait_until(lambda: bus.health().silence_s is not None)
        CLOCK.sleep(0.2)  # the subscription is on its way
    stranger = PlainClient(broker.port)
    stranger.publish("a/b", b"while away")
    stranger.close()
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        assert wait_for_event(bus, Connected).session_kept
        assert wait_for_event(bus, Delivery).payload == b"while away"


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(broker: RestartableBroker) -> None:
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        _subscribed(bus, broker, "a/b")
        stranger = PlainClient(broker.port)
        stranger.publish("a/b", b"first")
        stranger.publish("a/b", b"second")
        stranger.close()
        bus.acknowledge(wait_for_event(bus, Delivery))
        CLOCK.sleep(0.2)
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        assert wait_for_event(bus, Delivery).payload == b"second"


def test_an_acknowledgement_for_an_older_connection_is_without_effect(broker: RestartableBroker) -> None:
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        _subscribed(bus, broker, "a/b")
        stranger = PlainClient(broker.port)
        stranger.publish("a/b", b"once")
        stranger.close()
        old = wait_for_event(bus, Delivery)
        broker.stop()
        wait_for_event(bus, Disconnected)
        broker.start()
        again = wait_for_event(bus, Delivery)
        assert again.payload == b"once"
        assert again.connection > old.connection
        bus.acknowledge(old)
        bus.acknowledge(again)


def test_a_broker_that_comes_back_is_found_again(broker: RestartableBroker) -> None:
    with a_bus(broker.port) as bus:
        wait_for_event(bus, Connected)
        broker.kill()
        wait_for_event(bus, Disconnected)
        assert not bus.health().connected
        broker.start()
        wait_for_event(bus, Connected)


def test_the_will_tells_of_a_client_that_is_gone_without_a_word_and_not_of_one_that_left(
    broker: RestartableBroker,
) -> None:
    watcher = PlainClient(broker.port)
    will = Will(topic="box/presence", payload=b"gone")
    with a_bus(broker.port, will=will, will_delay_s=0) as bus:
        wait_for_event(bus, Connected)
    with a_bus(broker.port, will=will, will_delay_s=0) as bus:
        wait_for_event(bus, Connected)
        assert watcher.on_topic("presence") == []
        assert bus._link is not None
        bus._link.connection.end("cut")
        wait_until(lambda: [m.payload for m in watcher.on_topic("presence")] == [b"gone"])
    watcher.close()


def test_closing_twice_is_harmless_and_leaves_no_thread(broker: RestartableBroker) -> None:
    before = threading.active_count()
    with a_bus(broker.port) as bus:
        wait_for_event(bus, Connected)
        bus.close()
        assert bus.poll() == ()
    assert threading.active_count() == before


# ---- windows and answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "brokers"), [(4, 20), (50, 7)])
def test_the_window_is_the_smaller_one_and_never_exceeded_after_a_reconnect(
    tmp_path: Path, own: int, brokers: int
) -> None:
    server = _ScriptedBroker(receive_maximum=brokers)
    with closing(server), a_bus(server.port, window_max=own) as bus:
        for round_number in range(2):
            window = wait_for_event(bus, Connected).window
            assert window == bus.room == min(own, brokers)
            for number in range(window):
                bus.publish(Outgoing(token=f"{round_number}-{number}", topic="a/b", payload=b"x"))
            with pytest.raises(TransientError):
                bus.publish(Outgoing(token="too many", topic="a/b", payload=b"x"))
            wait_until(lambda w=window: server.unacknowledged == w)  # type: ignore[misc]
            server.cut()
            wait_for_event(bus, Disconnected)
            assert bus.room == 0
        assert server.unacknowledged_max == min(own, brokers)


def test_an_answer_names_the_message_and_whether_anybody_heard(broker: RestartableBroker) -> None:
    with a_bus(broker.port) as bus:
        wait_for_event(bus, Connected)
        bus.publish(Outgoing(token="lonely", topic="a/b", payload=b"x"))
        answer = wait_for_event(bus, Acknowledged)
        assert (answer.token, answer.accepted, answer.unheard) == ("lonely", True, True)
        listener = PlainClient(broker.port)
        bus.publish(Outgoing(token="heard", topic="a/b", payload=b"x"))
        answer = wait_for_event(bus, Acknowledged)
        assert (answer.token, answer.accepted, answer.unheard) == ("heard", True, False)
        listener.close()


@pytest.mark.parametrize("reason", [0x80, 0x87, 0x97, 0x99])
def test_an_answer_may_be_a_failure(reason: int) -> None:
    server = _ScriptedBroker(puback=reason)
    with closing(server), a_bus(server.port) as bus:
        wait_for_event(bus, Connected)
        bus.publish(Outgoing(token="t", topic="a/b", payload=b"x"))
        answer = wait_for_event(bus, Acknowledged)
        assert not answer.accepted
        assert answer.explanation
        assert bus.room == bus.health().unacknowledged + 16


def test_a_message_travels_with_its_expiry_and_retain_flag(broker: RestartableBroker) -> None:
    watcher = PlainClient(broker.port)
    with a_bus(broker.port) as bus:
        wait_for_event(bus, Connected)
        bus.publish(Outgoing(token="t", topic="a/b", payload=b"x", retain=True, expiry_s=77))
        wait_for_event(bus, Acknowledged)
    wait_until(lambda: len(watcher.seen) == 1)
    assert watcher.seen[0].properties is not None
    assert 70 <= watcher.seen[0].properties.MessageExpiryInterval <= 77
    assert watcher.seen[0].retain
    watcher.close()


def test_a_message_that_the_broker_would_not_take_is_refused_before_it_is_sent() -> None:
    server = _ScriptedBroker(packet_bytes_max=2_000)
    with closing(server), a_bus(server.port) as bus:
        wait_for_event(bus, Connected)
        with pytest.raises(ConfigError, match="packets of 2000 bytes"):
            bus.publish(Outgoing(token="t", topic="a/b", payload=b"x" * 2_000))
        assert bus.room == 16


def test_a_retained_message_is_told_apart_and_comes_once_for_a_session(broker: RestartableBroker) -> None:
    stranger = PlainClient(broker.port)
    stranger.publish("a/b", b"old", retain=True)
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        delivery = wait_for_event(bus, Delivery)
        assert delivery.retained
        bus.acknowledge(delivery)
        stranger.publish("a/b", b"live, yet flagged", retain=True)
        delivery = wait_for_event(bus, Delivery)
        assert (delivery.payload, delivery.retained) == (b"live, yet flagged", True)
        bus.acknowledge(delivery)
        stranger.publish("a/b", b"live")
        delivery = wait_for_event(bus, Delivery)
        assert not delivery.retained
        bus.acknowledge(delivery)
        CLOCK.sleep(0.2)
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        wait_for_event(bus, Connected)
        CLOCK.sleep(0.3)
        assert not [event for event in all_events(bus) if isinstance(event, Delivery)]
    stranger.close()


def test_we_do_not_hear_ourselves(broker: RestartableBroker) -> None:
    with a_bus(broker.port, subscriptions=("a/+",)) as bus:
        _subscribed(bus, broker, "a/b")
        bus.publish(Outgoing(token="t", topic="a/b", payload=b"x"))
        wait_for_event(bus, Acknowledged)
        CLOCK.sleep(0.2)
        assert all_events(bus) == []


def test_no_more_arrive_unacknowledged_than_were_asked_for(broker: RestartableBroker) -> None:
    with a_bus(broker.port, subscriptions=("a/b",), arrivals_max=3) as bus:
        _subscribed(bus, broker, "a/b")
        stranger = PlainClient(broker.port)
        for number in range(8):
            stranger.publish("a/b", b"%d" % number)
        stranger.close()
        CLOCK.sleep(0.3)
        held = [event for event in all_events(bus) if isinstance(event, Delivery)]
        assert [each.payload for each in held] == [b"0", b"1", b"2"]
        for each in held:
            bus.acknowledge(each)
        assert wait_for_event(bus, Delivery).payload == b"3"


def test_a_flood_without_acknowledgement_is_dropped_and_counted(broker: RestartableBroker) -> None:
    with a_bus(broker.port, subscriptions=("a/b",)) as bus:
        _subscribed(bus, broker, "a/b")
        stranger = PlainClient(broker.port)
        for _ in range(500):
            stranger.publish("a/b", b"x", qos=0)
        stranger.publish("other", b"x")
        wait_until(lambda: bus.health().dropped > 0)
        arrived = [event for event in all_events(bus) if isinstance(event, Delivery)]
        assert len(arrived) < 200
        bus.acknowledge(arrived[0])
        stranger.publish("a/b", b"still listening")
        while wait_for_event(bus, Delivery).payload != b"still listening":
            pass
        stranger.close()


# ---- what kills others -----------------------------------------------------------------------------------------------


def test_an_exception_in_a_callback_is_told_and_the_connection_goes_on(broker: RestartableBroker) -> None:
    told: list[object] = []

    class Careless(PahoConnection):
        def _on_publish(self, *_arguments: object) -> None:
            raise RuntimeError("a bug")

    connection = Careless(settings(broker.port), clock=CLOCK, tell=lambda event: told.append(event) is None)
    thread = threading.Thread(target=connection.run)
    thread.start()
    wait_until(lambda: any(isinstance(event, Accepted) for event in told))
    for _ in range(2):
        assert connection.publish(Outgoing(token="t", topic="a/b", payload=b"x")) is not None
    wait_until(lambda: told.count(Fault(explanation="RuntimeError in on_publish")) == 2)
    assert thread.is_alive()
    connection.end("done")
    thread.join(5)
    assert told[-1] == Ended(explanation="done")


def test_a_network_thread_that_dies_is_noticed_and_replaced(broker: RestartableBroker) -> None:
    with a_bus(broker.port) as bus:
        wait_for_event(bus, Connected)
        assert bus._worker is not None
        bus._worker.stop()
        wait_for_event(bus, Connected)
        assert bus.health().faults == 1


def test_a_broker_that_accepts_and_says_nothing_is_given_up_and_tried_again() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        a_bus(mute.getsockname()[1], keepalive_s=1, silence_s_max=2.1, loop_s=0.1) as bus,
    ):
        explanation = wait_for_event(bus, Disconnected).explanation
        assert "nothing was heard" in explanation or "lost" in explanation


def test_a_message_that_is_never_answered_ends_the_connection() -> None:
    server = _ScriptedBroker(puback=None)
    with closing(server), a_bus(server.port, answer_s_max=0.3, loop_s=0.05) as bus:
        wait_for_event(bus, Connected)
        bus.publish(Outgoing(token="t", topic="a/b", payload=b"x"))
        assert "has not acknowledged" in wait_for_event(bus, Disconnected).explanation


def test_a_broker_that_refuses_us_says_why() -> None:
    server = _ScriptedBroker(connack=0x87)
    with closing(server), a_bus(server.port) as bus:
        assert "refused us: Not authorized" in wait_for_event(bus, Disconnected).explanation


@pytest.mark.parametrize("rubbish", [b"\x00" * 64, b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\x20\x03\x00\x00\xff"])
def test_rubbish_from_the_broker_ends_the_connection_and_nothing_else(rubbish: bytes) -> None:
    server = _ScriptedBroker(greeting=rubbish)
    with closing(server), a_bus(server.port, keepalive_s=1, silence_s_max=2.1, loop_s=0.1) as bus:
        wait_for_event(bus, Disconnected)
        server.greeting = None
        wait_for_event(bus, Connected)


def test_the_pause_between_attempts_has_full_jitter_and_a_bound() -> None:
    bus = PahoBus(settings(1, retry_first_s=1.0, retry_max_s=60.0), clock=CLOCK, entropy=SystemEntropy())
    bus.start()
    worker = bus._worker
    assert worker is not None
    for failures in (1, 2, 3, 7, 1_000):
        bound = min(60.0, 2.0 ** min(failures - 1, 16))
        pauses = [worker._pause_s(failures) for _ in range(300)]
        assert all(0 <= pause < bound for pause in pauses)
        assert min(pauses) < 0.1 * bound < 0.9 * bound < max(pauses)
    bus.close()


def _subscribed(bus: PahoBus, broker: RestartableBroker, topic: str) -> None:
    """Return once ``bus`` gets what is published on ``topic``."""
    wait_for_event(bus, Connected)
    probe = PlainClient(broker.port, listen_to=None)
    arrived: list[Delivery] = []

    def knock() -> bool:
        probe.publish(topic, b"knock")
        select.select([bus], [], [], 0.2)
        arrived.extend(event for event in all_events(bus) if isinstance(event, Delivery))
        return bool(arrived)

    wait_until(knock)
    CLOCK.sleep(0.1)
    for delivery in arrived + [event for event in all_events(bus) if isinstance(event, Delivery)]:
        bus.acknowledge(delivery)
    probe.close()


class _ScriptedBroker:
    """Just enough of MQTT v5 on a socket to misbehave: it answers CONNECT, counts PUBLISH, and acknowledges or not."""

    def __init__(
        self,
        *,
        receive_maximum: int = 20,
        packet_bytes_max: int | None = None,
        connack: int = 0,
        puback: int | None = None,
        greeting: bytes | None = None,
    ) -> None:
        properties = b"\x21" + receive_maximum.to_bytes(2, "big")
        if packet_bytes_max is not None:
            properties += b"\x27" + packet_bytes_max.to_bytes(4, "big")
        body = bytes([0, connack, len(properties)]) + properties
        self._connack = bytes([0x20, len(body)]) + body
        self._puback = puback
        self.greeting = greeting
        self.unacknowledged = 0
        self.unacknowledged_max = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        if self._client is not None:
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._server.accept()
            except OSError:
                return
            self.unacknowledged = 0
            with self._client as client, client.makefile("rb") as stream:
                try:
                    while self._answer(client, stream):
                        pass
                except OSError:
                    pass

    def _answer(self, client: socket.socket, stream: Any) -> bool:
        head = stream.read(1)
        if not head:
            return False
        length, shift = 0, 0
        while True:
            byte = stream.read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = stream.read(length)
        kind = head[0] >> 4
        if kind == 1:
            client.sendall(self.greeting if self.greeting is not None else self._connack)
        elif kind == 3:
            self.unacknowledged += 1
            self.unacknowledged_max = max(self.unacknowledged_max, self.unacknowledged)
            topic_bytes = int.from_bytes(body[:2], "big")
            if self._puback is not None:
                client.sendall(b"\x40\x04" + body[2 + topic_bytes : 4 + topic_bytes] + bytes([self._puback, 0]))
        elif kind == 12:
            client.sendall(b"\xd0\x00")
        return True
