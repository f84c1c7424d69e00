"""A message bus over paho-mqtt 2: connections one after the other, for as long as the bus is open.

Rules of this module, besides those of :mod:`appliance.adapters.paho_connection`:
    1. The network thread and the owner share one bounded queue and one wake-up descriptor, and no lock is held while
       paho is called.
    2. ``min(own window, the broker's Receive Maximum)`` messages are unacknowledged at most, and only those published
       on the present connection count.
    3. Health is what was heard: a network thread that is dead or hangs is replaced at the next :meth:`PahoBus.poll`,
       and a message without PUBACK for too long ends the connection.
    4. Reconnecting has full jitter (the pause is drawn evenly from nothing to the bound, and the bound doubles).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from dataclasses import dataclass, field

from appliance.adapters.paho_connection import (
    REASON_FAILURE_MIN,
    REASON_NO_SUBSCRIBERS,
    Accepted,
    Answered,
    Came,
    ConnectionEvent,
    Ended,
    Fault,
    NotSubscribed,
    PahoConnection,
    check_fits,
)
from appliance.adapters.paho_settings import BusSettings
from appliance.errors import TransientError
from appliance.ports.clock import Clock, Entropy
from appliance.ports.message_bus import (
    Acknowledged,
    BusEvent,
    BusHealth,
    Connected,
    Delivery,
    Disconnected,
    Outgoing,
    Refused,
)

CLOSE_TIMEOUT_S = 2.0
DOUBLINGS_MAX = 16
STEADY_S = 10.0
"""A connection that lasted so long was a good one: the next pause is the first again."""

EVENTS_SPARE = 64
"""Room in the queue beside a full window each way: faults, ends, deliveries without acknowledgement."""


class PahoBus:
    """A :class:`appliance.ports.message_bus.MessageBus`. All methods are for the owner's thread."""

    def __init__(self, settings: BusSettings, *, clock: Clock, entropy: Entropy) -> None:
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._inbox = _Inbox(settings.window_max + settings.arrivals_max + EVENTS_SPARE)
        self._worker: _Worker | None = None
        self._link: _Link | None = None
        self._faults = 0
        self._closed = False

    def start(self) -> None:
        """Begin to connect; see the port."""
        if self._worker is None and not self._closed:
            self._worker = _Worker(self._settings, clock=self._clock, entropy=self._entropy, inbox=self._inbox)
            self._worker.start()

    def fileno(self) -> int:
        """Return the descriptor that is readable when :meth:`poll` has something."""
        return self._inbox.descriptor

    def poll(self) -> tuple[BusEvent, ...]:
        """Return what has happened; see the port."""
        if self._closed:
            return ()
        events = [event for item in self._inbox.drain() if (event := self._told(*item)) is not None]
        events += self._replace_a_lost_worker()
        self._end_an_unanswered_connection()
        return tuple(events)

    @property
    def room(self) -> int:
        """How many more messages may be published now."""
        return 0 if self._link is None else self._link.window - len(self._link.unanswered)

    def publish(self, message: Outgoing) -> None:
        """Hand a message to the broker; see the port."""
        link = self._link
        if link is None or self.room <= 0:
            raise TransientError("there is no room for another message at the broker")
        check_fits(message, link.packet_bytes_max)
        number = link.connection.publish(message)
        if number is None:
            raise TransientError("the connection to the broker has just ended")
        link.unanswered[number] = (message.token, self._clock.boot_ns())

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that a delivery is done with; see the port."""
        link = self._link
        if link is not None and link.connection_number == delivery.connection and delivery.message > 0:
            link.connection.acknowledge(delivery.message)

    def health(self) -> BusHealth:
        """Return how the connection is."""
        link = self._link
        silence_ns = None if link is None else self._clock.boot_ns() - link.connection.heard_ns
        return BusHealth(
            connected=link is not None,
            silence_s=None if silence_ns is None else silence_ns / 1e9,
            unacknowledged=0 if link is None else len(link.unanswered),
            faults=self._faults,
            dropped=self._inbox.dropped,
        )

    def close(self) -> None:
        """Leave in good order; see the port."""
        if self._closed:
            return
        self._closed = True
        if self._worker is not None:
            if self._link is not None:
                self._link.connection.leave()
            self._worker.stop()
        self._link = None
        self._inbox.close()

    def _told(self, number: int, event: ConnectionEvent, connection: PahoConnection) -> BusEvent | None:
        """Turn what the network thread says into what the owner is told, or None where it is old or our business."""
        if isinstance(event, Fault):
            self._faults += 1
            return None
        if isinstance(event, Ended):
            # An attempt that failed is told as well: the owner says so once.
            is_ours = self._link is None or self._link.connection_number == number
            self._link = None if is_ours else self._link
            return Disconnected(explanation=event.explanation) if is_ours else None
        if isinstance(event, Accepted):
            return self._told_accepted(number, event, connection)
        link = self._link
        if link is None or link.connection_number != number:
            return None
        if isinstance(event, NotSubscribed):
            return Refused(filter=event.filter, explanation=event.explanation)
        if isinstance(event, Came):
            return Delivery(
                connection=number,
                message=event.message if event.qos > 0 else 0,
                topic=event.topic,
                payload=event.payload,
                retained=event.retained,
                expiry_s=event.expiry_s,
            )
        return _told_answered(link, event)

    def _told_accepted(self, number: int, event: Accepted, connection: PahoConnection) -> Connected:
        self._link = _Link(
            connection_number=number,
            connection=connection,
            window=min(self._settings.window_max, event.receive_maximum),
            packet_bytes_max=event.packet_bytes_max,
        )
        return Connected(session_kept=event.session_kept, window=self._link.window)

    def _replace_a_lost_worker(self) -> list[BusEvent]:
        worker = self._worker
        if worker is None or not worker.is_lost(self._clock.boot_ns()):
            return []
        self._faults += 1
        worker.abandon()
        self._link = None
        self._inbox.forget()
        self._worker = None
        self.start()
        return [Disconnected(explanation=f"the connection to {self._settings.address} hung and is being made anew")]

    def _end_an_unanswered_connection(self) -> None:
        link = self._link
        if link is None or not link.unanswered:
            return
        _, oldest_ns = next(iter(link.unanswered.values()))
        if self._clock.boot_ns() - oldest_ns > self._settings.answer_s_max * 1e9:
            link.connection.end(
                f"the broker at {self._settings.address} has not acknowledged a message "
                f"for {self._settings.answer_s_max} s"
            )


def _told_answered(link: _Link, event: Answered) -> Acknowledged | None:
    token, _ = link.unanswered.pop(event.message, (None, 0))
    if token is None:
        return None
    accepted = event.reason < REASON_FAILURE_MIN
    unheard = event.reason == REASON_NO_SUBSCRIBERS
    explanation = "" if event.reason == 0 else event.explanation
    return Acknowledged(token=token, accepted=accepted, unheard=unheard, explanation=explanation)


@dataclass(slots=True, kw_only=True)
class _Link:
    """The present connection as its owner knows it. ``unanswered``: number -> token and when, oldest first."""

    connection_number: int
    connection: PahoConnection
    window: int
    packet_bytes_max: int | None
    unanswered: dict[int, tuple[str, int]] = field(default_factory=dict)


class _Inbox:
    """From the network thread to the owner: bounded, and it wakes a selector."""

    def __init__(self, size_max: int) -> None:
        self._items: deque[tuple[int, ConnectionEvent, PahoConnection]] = deque()
        self._size_max = size_max
        self._lock = threading.Lock()
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.dropped = 0

    def put(self, number: int, event: ConnectionEvent, connection: PahoConnection) -> bool:
        """Add an event and return True, or return False when there is no room for a message that came.

        Other events are bounded by their cause (one PUBACK a message, one end a connection) and always find room,
        but for faults: how many there were in a row is not worth memory.
        """
        with self._lock:
            if self.descriptor < 0:
                return False
            if len(self._items) >= self._size_max and isinstance(event, Came | Fault | NotSubscribed):
                self.dropped += 1
                return False
            self._items.append((number, event, connection))
            os.eventfd_write(self.descriptor, 1)
            return True

    def drain(self) -> list[tuple[int, ConnectionEvent, PahoConnection]]:
        """Take everything out."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.descriptor)
        return items

    def forget(self) -> None:
        """Throw everything away."""
        with self._lock:
            self._items.clear()

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            os.close(self.descriptor)
            self.descriptor = -1
            self._items.clear()


class _Worker:
    """The network thread: one connection after the other, with a pause between them, until it is stopped."""

    _numbers = iter(range(1, 2**63))

    def __init__(self, settings: BusSettings, *, clock: Clock, entropy: Entropy, inbox: _Inbox) -> None:
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._inbox = inbox
        self._stop = threading.Event()
        self._abandoned = False
        self._connection: PahoConnection | None = None
        self._pausing = False
        self._thread = threading.Thread(target=self._run, name="lamppost-bus", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End within ``CLOSE_TIMEOUT_S``; a thread that hangs longer is left behind (it is a daemon)."""
        self._stop.set()
        self._thread.join(self._settings.loop_s)  # paho sends its DISCONNECT meanwhile
        if (connection := self._connection) is not None:
            connection.end("closing")
        self._thread.join(CLOSE_TIMEOUT_S)

    def abandon(self) -> None:
        """Listen to this thread no more. It ends by itself if it ever comes round."""
        self._abandoned = True
        self._stop.set()
        if (connection := self._connection) is not None:
            connection.end("abandoned")

    def is_lost(self, now_ns: int) -> bool:
        """Whether the thread is dead, or has not come round for too long."""
        if not self._thread.is_alive():
            return True
        connection = self._connection
        if connection is None or self._pausing:
            return False
        return now_ns - connection.progress_ns > self._settings.hang_s_max * 1e9

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began_ns = self._clock.boot_ns()
            self._connect_once(next(self._numbers))
            lasted_s = (self._clock.boot_ns() - began_ns) / 1e9
            failures = 0 if lasted_s > STEADY_S else failures + 1
            self._pausing = True
            self._stop.wait(self._pause_s(failures))
            self._pausing = False

    def _connect_once(self, number: int) -> None:
        def tell(event: ConnectionEvent) -> bool:
            return not self._abandoned and self._inbox.put(number, event, connection)

        connection = PahoConnection(self._settings, clock=self._clock, tell=tell)
        self._connection = connection
        connection.run()

    def _pause_s(self, failures: int) -> float:
        doublings = min(max(0, failures - 1), DOUBLINGS_MAX)
        bound_s = min(self._settings.retry_max_s, self._settings.retry_first_s * (1 << doublings))
        return bound_s * int.from_bytes(self._entropy.token(4), "big") / 2**32
