"""A real Mosquitto for a test, and a plain MQTT client beside ours: the stranger, the eavesdropper, the far side."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.adapters.mosquitto import Mosquitto, free_port, start_mosquitto
from appliance.adapters.system_clock import SystemClock
from appliance.ports.message_bus import BusEvent, MessageBus

E = TypeVar("E", bound=BusEvent)

CLOCK = SystemClock()
WAIT_S_MAX = 10.0


class RestartableBroker:
    """A broker on one port with one folder, which a test may kill and start again."""

    def __init__(self, folder: Path, *, persistence: bool = True, inflight_max: int = 20) -> None:
        self._folder = folder
        self._persistence = persistence
        self._inflight_max = inflight_max
        self.port = free_port()
        self._running: Mosquitto | None = None

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        self._running = start_mosquitto(
            folder=self._folder,
            clock=CLOCK,
            port=self.port,
            persistence=self._persistence,
            inflight_max=self._inflight_max,
        )

    def kill(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running = None

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


@contextmanager
def a_broker(folder: Path, *, persistence: bool = False, inflight_max: int = 20) -> Iterator[RestartableBroker]:
    """Run a broker for the length of a ``with`` block."""
    broker = RestartableBroker(folder, persistence=persistence, inflight_max=inflight_max)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class PlainClient:
    """Somebody else's MQTT client on the same broker: it sees everything and may publish anything."""

    def __init__(self, port: int, *, listen_to: str | None = "#") -> None:
        self.seen: list[mqtt.MQTTMessage] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = lambda _c, _u, message: self.seen.append(message)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if listen_to is not None:
            self._client.subscribe(listen_to, options=SubscribeOptions(qos=1, retainAsPublished=True))
            assert self._subscribed.wait(WAIT_S_MAX)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expiry_s: int | None = None
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties).wait_for_publish(WAIT_S_MAX)

    def on_topic(self, ending: str) -> list[mqtt.MQTTMessage]:
        """Return what was seen on topics that end so."""
        return [message for message in list(self.seen) if message.topic.endswith(ending)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


_UNREAD: WeakKeyDictionary[MessageBus, list[BusEvent]] = WeakKeyDictionary()


def wait_for_event(bus: MessageBus, kind: type[E], *, timeout_s: float = WAIT_S_MAX) -> E:
    """Poll ``bus`` until an event of ``kind`` comes; what came before it is thrown away, what came after is kept."""
    deadline_ns = CLOCK.boot_ns() + int(timeout_s * 1e9)
    unread = _UNREAD.setdefault(bus, [])
    while CLOCK.boot_ns() < deadline_ns:
        while unread:
            event = unread.pop(0)
            if isinstance(event, kind):
                return event
        select.select([bus], [], [], 0.05)
        unread.extend(bus.poll())
    raise AssertionError(f"no {kind.__name__} within {timeout_s} s")


def all_events(bus: MessageBus) -> list[BusEvent]:
    """Return everything that is there now."""
    unread = _UNREAD.pop(bus, [])
    return [*unread, *bus.poll()]


def wait_until(condition: Callable[[], bool], *, timeout_s: float = WAIT_S_MAX) -> None:
    """Return once ``condition`` holds; it may do the work that makes it hold."""
    deadline_ns = CLOCK.boot_ns() + int(timeout_s * 1e9)
    while not condition():
        assert CLOCK.boot_ns() < deadline_ns, f"did not come true within {timeout_s} s"
        CLOCK.sleep(0.01)
