"""A broker between the box and the control room, as one thread sees it: poll for events, publish, acknowledge.

Rules that every implementation keeps:
    1. Everything is called from one thread, the owner's. What the network does reaches it as events and through a
       descriptor that a selector watches.
    2. Nothing is queued for a broker that is not there: what could not be published is the owner's to offer again.
    3. At most ``window`` messages are unacknowledged, and a lost connection voids them all (:class:`Disconnected`).
    4. An arrival stays with the broker until it is acknowledged.
    5. A broker's acknowledgement is no delivery. Only the control room's signed receipt is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to publish with QoS 1.

    Attributes:
        token: Names it in :class:`Acknowledged`; unique among those unacknowledged.
        payload: At most what the topic's table row allows.
        retain: The broker keeps it for those who subscribe later.
        expiry_s: MessageExpiryInterval (MQTT v5 §3.3.2.3.3), 1 or more; None: never.
    """

    token: str
    topic: str
    payload: bytes = field(repr=False)
    retain: bool = False
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The broker has accepted us and the subscriptions are being asked for.

    Attributes:
        session_kept: Whether the broker still had our session: if not, what it had accepted may be gone.
        window: How many messages may be unacknowledged on this connection.
    """

    session_kept: bool
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """There is no connection: it ended, or an attempt failed. Everything unacknowledged is void.

    Attributes:
        explanation: One sentence, with the broker's address.
    """

    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """The broker's answer to one message.

    Attributes:
        accepted: The broker has it. True also when nobody is subscribed.
        unheard: Accepted, but nobody is subscribed (reason code 0x10): nobody will get it.
        explanation: The reason in words; empty when all is well.
    """

    token: str
    accepted: bool
    unheard: bool
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message for us, still with the broker until :meth:`MessageBus.acknowledge`.

    Attributes:
        connection: Number of the connection on which it came; an acknowledgement counts on that one only.
        message: Number on that connection.
        payload: As it came.
        retained: It was published with the retain flag.
        expiry_s: What was left of its MessageExpiryInterval, None without one.
    """

    connection: int
    message: int
    topic: str
    payload: bytes = field(repr=False)
    retained: bool
    expiry_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The broker will not let us have a subscription; nothing will come under it."""

    filter: str
    explanation: str


BusEvent: TypeAlias = Connected | Disconnected | Acknowledged | Delivery | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class BusHealth:
    """How the connection is, judged by what was heard and not by what a library believes.

    Attributes:
        silence_s: Since the last packet from the broker; None when not connected.
        unacknowledged: Messages that the broker has not answered.
        faults: Exceptions in callbacks, dead or hanging network threads, since the start.
        dropped: Messages without acknowledgement (QoS 0) for which there was no room.
    """

    connected: bool
    silence_s: float | None
    unacknowledged: int
    faults: int
    dropped: int


class MessageBus(Protocol):
    """A connection to one broker that is kept up for as long as it is open."""

    def start(self) -> None:
        """Begin to connect, and return at once. The broker may be absent; trying goes on until :meth:`close`."""
        ...

    def fileno(self) -> int:
        """Return what a selector watches for reading: readable when :meth:`poll` has something."""
        ...

    def poll(self) -> tuple[BusEvent, ...]:
        """Return what has happened since the last call, and look after the connection. Call it every second or so."""
        ...

    @property
    def room(self) -> int:
        """How many more messages may be published now; 0 while not connected."""
        ...

    def publish(self, message: Outgoing) -> None:
        """Hand a message to the broker.

        Raises:
            TransientError: There is no room (rules 2 and 3).
            ConfigError: It is longer than this broker accepts.
        """
        ...

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that a delivery is done with; without effect when its connection has ended."""
        ...

    def health(self) -> BusHealth:
        """Return how the connection is."""
        ...

    def close(self) -> None:
        """Leave in good order, within a bounded time. Safe to call twice."""
        ...
