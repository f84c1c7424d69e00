"""One MQTT v5 connection through paho, from CONNECT to its end, in a thread of the caller's.

Rules of this module (the numbers in brackets are issues of eclipse/paho.mqtt.python):
    1. A client lives for one connection. Paho's memory of unacknowledged messages goes with it, so nothing is resent
       past anybody's window after a reconnect [#492], and a stuck client is thrown away rather than mended.
    2. Callbacks do nothing but hand an event on. An exception in one is caught, counted and told; paho would end its
       thread silently and still say that it is connected [#704, #365].
    3. Nothing is published, waited for or locked inside a callback [#613, #177, #3].
    4. The session is kept (Clean Start 0, Session Expiry Interval, MQTT v5 §3.1.2.4 and §3.1.2.11.2): a new client of
       the same name finds what the broker kept for it.
    5. The connection is alive while packets come. Silence, or a message that stays unanswered, ends it.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.adapters.paho_settings import BusSettings
from appliance.errors import ConfigError
from appliance.ports.clock import Clock
from appliance.ports.message_bus import Outgoing

RECEIVE_MAXIMUM_DEFAULT = 65_535  # MQTT v5 §3.2.2.3.3
PACKET_OVERHEAD_BYTES = 512
"""Topic, properties and headers beside a payload."""

REASON_NO_SUBSCRIBERS = 0x10
REASON_FAILURE_MIN = 0x80

_CALLBACKS = ("on_connect", "on_subscribe", "on_publish", "on_message", "on_disconnect", "on_log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """CONNACK: the limits of this connection."""

    session_kept: bool
    receive_maximum: int
    packet_bytes_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """PUBACK."""

    message: int
    reason: int
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """PUBLISH from the broker."""

    message: int
    qos: int
    topic: str
    payload: bytes = field(repr=False)
    retained: bool
    expiry_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSubscribed:
    """SUBACK with a refusal."""

    filter: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An exception of ours or of paho's that would otherwise have gone unnoticed."""

    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The connection is over or never was. The last event of a connection."""

    explanation: str


ConnectionEvent: TypeAlias = Accepted | Answered | Came | NotSubscribed | Fault | Ended


class PahoConnection:
    """One connection. :meth:`run` in the network thread; everything else in the owner's.

    Args:
        tell: Called from the network thread with each event; must not block, and returns False when there is no room.
    """

    def __init__(self, settings: BusSettings, *, clock: Clock, tell: Callable[[ConnectionEvent], bool]) -> None:
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._stop = threading.Event()
        self._ending: str | None = None
        self._accepted = False
        self._progress_ns = self._heard_ns = clock.boot_ns()
        self._client = self._make_client()

    def run(self) -> None:
        """Connect, stay connected, and return when it is over. Every way out of here tells :class:`Ended`."""
        try:
            explanation = self._run()
        except (OSError, ValueError) as error:  # connection refused, TLS, name resolution
            explanation = f"cannot reach the broker at {self._settings.address}: {_in_words(error)}"
        except Exception as error:  # noqa: BLE001 - paho's own bugs; the thread must not die without a word (rule 2)
            self._fault("the network loop", error)
            explanation = f"the connection to {self._settings.address} broke ({type(error).__name__})"
        self._let_go()
        self._tell(Ended(explanation=explanation))

    def publish(self, message: Outgoing) -> int | None:
        """Return the number that the PUBACK will carry, or None when the connection is not up."""
        properties = _properties(PacketTypes.PUBLISH)
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = max(1, message.expiry_s)
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
        return info.mid if info.rc is MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def acknowledge(self, message: int) -> None:
        """Send PUBACK for a message that came with QoS 1."""
        self._client.ack(message, 1)

    def end(self, explanation: str) -> None:
        """Have :meth:`run` return soon; the broker sees a lost connection and sends the Will when it is due."""
        self._ending = explanation
        self._stop.set()

    def leave(self) -> None:
        """Send DISCONNECT: the broker keeps the session and forgets the Will (MQTT v5 §3.14.4)."""
        self._client.disconnect()

    @property
    def heard_ns(self) -> int:
        """When the last packet came, CLOCK_BOOTTIME."""
        return self._heard_ns

    @property
    def progress_ns(self) -> int:
        """When the network thread last came round, CLOCK_BOOTTIME. Old: it hangs."""
        return self._progress_ns

    def _run(self) -> str:
        settings = self._settings
        self._client.connect_async(
            settings.host,
            settings.port,
            keepalive=settings.keepalive_s,
            clean_start=False,
            properties=_connect_properties(settings),
        )
        self._client.reconnect()
        self._heard_ns = self._clock.boot_ns()
        while not self._stop.is_set():
            self._progress_ns = self._clock.boot_ns()
            code = self._client.loop(settings.loop_s)
            if code is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                return self._ending or f"the connection to {settings.address} was lost: {mqtt.error_string(code)}"
            if self._silence_s() > settings.silence_s_max:
                return f"nothing was heard from {settings.address} for {settings.silence_s_max} s"
        return self._ending or "ended"

    def _let_go(self) -> None:
        """Close the socket now and untie the client from us; a ring of references would keep it open for a while."""
        if (left_open := self._client.socket()) is not None:
            left_open.close()
        for name in _CALLBACKS:
            setattr(self._client, name, None)

    def _silence_s(self) -> float:
        return (self._clock.boot_ns() - self._heard_ns) / 1e9

    def _make_client(self) -> mqtt.Client:
        settings = self._settings
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages_set(settings.window_max)
        if settings.tls is not None:
            client.tls_set_context(settings.tls.context())
        if settings.will is not None:
            properties = _properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = settings.will_delay_s
            client.will_set(
                settings.will.topic, settings.will.payload, qos=1, retain=settings.will.retain, properties=properties
            )
        for name in _CALLBACKS:
            setattr(client, name, self._guarded(name, getattr(self, f"_{name}")))
        # With this set, paho leaves all writing to the thread in run(): packets of two threads cannot interleave.
        client.on_socket_register_write = _leave_it_to_the_loop
        return client

    def _guarded(self, name: str, callback: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:  # noqa: ANN401 - each callback of paho has its own arguments
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001 - rule 2: paho's thread would die of it
                self._fault(name, error)

        return guarded

    def _fault(self, where: str, error: Exception) -> None:
        # The exception's text may quote what came; its type does not.
        self._tell(Fault(explanation=f"{type(error).__name__} in {where}"))

    def _on_connect(
        self, client: mqtt.Client, _data: object, flags: mqtt.ConnectFlags, reason: ReasonCode, properties: Properties
    ) -> None:
        if reason.is_failure:
            self.end(f"the broker at {self._settings.address} refused us: {reason}")
            return
        self._accepted = True
        self._tell(
            Accepted(
                session_kept=flags.session_present,
                receive_maximum=getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_DEFAULT),
                packet_bytes_max=getattr(properties, "MaximumPacketSize", None),
            )
        )
        if self._settings.subscriptions:
            options = SubscribeOptions(
                qos=1, noLocal=True, retainAsPublished=True, retainHandling=int(not self._settings.retained_each_time)
            )
            client.subscribe([(each, options) for each in self._settings.subscriptions])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _message: int, reasons: list[ReasonCode], _properties: Properties
    ) -> None:
        for each, reason in zip(self._settings.subscriptions, reasons, strict=False):
            if reason.is_failure:
                self._tell(NotSubscribed(filter=each, explanation=str(reason)))

    def _on_publish(
        self, _client: mqtt.Client, _data: object, message: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self._tell(Answered(message=message, reason=reason.value, explanation=str(reason)))

    def _on_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # no topic of ours; the owner refuses and acknowledges it like any other unknown one
        came = Came(
            message=message.mid,
            qos=message.qos,
            topic=topic,
            payload=bytes(message.payload),
            retained=message.retain,
            expiry_s=getattr(message.properties, "MessageExpiryInterval", None),
        )
        if not self._tell(came) and message.qos > 0:
            # We said how many may be under way at once (Receive Maximum); the broker keeps what it sends too much.
            self.end(f"the broker at {self._settings.address} sent more than we had asked for")

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, _p: Properties
    ) -> None:
        if flags.is_disconnect_packet_from_server and self._ending is None:
            self._ending = f"the broker at {self._settings.address} ended the connection: {reason}"

    def _on_log(self, _client: mqtt.Client, _data: object, _level: int, text: str) -> None:
        # The one public sign of life for every kind of packet, PINGRESP among them. Never logged: it names topics.
        if text.startswith("Received "):
            self._heard_ns = self._clock.boot_ns()


def check_fits(message: Outgoing, packet_bytes_max: int | None) -> None:
    """Return if the broker of this connection accepts a message of this length (MQTT v5 §3.2.2.3.6).

    Raises:
        ConfigError: It is too long; the broker would end the connection.
    """
    if packet_bytes_max is not None and len(message.payload) + PACKET_OVERHEAD_BYTES > packet_bytes_max:
        raise ConfigError(
            f"the broker accepts packets of {packet_bytes_max} bytes, and this message has {len(message.payload)}; "
            "raise max_packet_size at the broker"
        )


def _connect_properties(settings: BusSettings) -> Properties:
    properties = _properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.arrivals_max
    properties.MaximumPacketSize = settings.packet_bytes_max
    return properties


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho annotates the class, not its constructor


def _leave_it_to_the_loop(*_arguments: object) -> None:
    """Do nothing: paho has woken its loop already."""


def _in_words(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
