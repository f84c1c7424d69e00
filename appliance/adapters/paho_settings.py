"""How to reach a broker: address, TLS, session, limits. Checked once, here.

Rules of this module:
    1. Plain TCP is for loopback only. Anything else is TLS 1.3 with a client certificate and a pinned authority.
    2. Every limit has a value; none is "as many as come".
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigError

DAY_S = 86_400
MQTT_PACKET_BYTES_MAX = 268_435_455 + 5  # MQTT v5 §2.1.4, and the fixed header
RECEIVE_MAXIMUM_MAX = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Who we believe and who we are, as PEM files.

    Attributes:
        authority: Certificates of the authority that signed the broker's, and of no other.
        certificate: Ours, with its chain.
        key: Its private key, unencrypted, readable by us alone.
    """

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return a context for TLS 1.3 only (RFC 8446): host name and chain are checked, and we show a certificate.

        Raises:
            ConfigError: A file is missing, or is not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or getattr(error, "reason", None) or "unreadable"
            raise ConfigError(
                f"the TLS files {self.authority}, {self.certificate} and {self.key} cannot be used: {reason}"
            ) from None
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes when we are gone without a word (MQTT v5 §3.1.2.5)."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Everything about one connection.

    Attributes:
        client_id: Names the session at the broker: the same at every start, and no other client's.
        subscriptions: Filters, asked for at each connect with QoS 1, No Local and Retain As Published.
        retained_each_time: Have retained messages sent at each connect, and not only for a new session.
        session_expiry_s: How long the broker keeps the session of a client that is away.
        window_max: Our messages without PUBACK; the broker's Receive Maximum may make it less.
        arrivals_max: Deliveries that we have not acknowledged: our Receive Maximum.
        packet_bytes_max: Our Maximum Packet Size.
        keepalive_s: After so much silence paho asks for a sign of life.
        silence_s_max: After so much silence the connection is given up.
        answer_s_max: A message without PUBACK for so long ends the connection.
        connect_timeout_s: For TCP and again for each read of the TLS handshake.
        hang_s_max: The network thread is given up when it has not come round for so long.
        retry_first_s: Greatest pause after the first failure; doubles up to ``retry_max_s``. The pause itself is
            drawn evenly between nothing and that (full jitter), so that a city does not come back in one second.
        loop_s: Greatest time between two looks at what else there is to do.

    Raises:
        ConfigError: Plain TCP to another machine, or a limit out of its range.
    """

    host: str
    port: int
    client_id: str
    subscriptions: tuple[str, ...] = ()
    tls: TlsFiles | None = None
    will: Will | None = None
    will_delay_s: int = 30
    retained_each_time: bool = False
    session_expiry_s: int = 7 * DAY_S
    window_max: int = 16
    arrivals_max: int = 8
    packet_bytes_max: int = 64 * 1024 * 1024
    keepalive_s: int = 5
    silence_s_max: float = 12.0
    answer_s_max: float = 10.0
    connect_timeout_s: float = 5.0
    hang_s_max: float = 15.0
    retry_first_s: float = 1.0
    retry_max_s: float = 60.0
    loop_s: float = 0.5

    def __post_init__(self) -> None:
        if not self.host or not 1 <= self.port <= 65_535:
            raise ConfigError("the broker's address is HOST:PORT with a port from 1 to 65535")
        if self.tls is None and not is_loopback(self.host):
            raise ConfigError(
                f"{self.host} is another machine: give TLS files for the broker, since plain TCP is for loopback only"
            )
        if not self.client_id:
            raise ConfigError("the broker's client id is empty; without one no session is kept")
        if not 1 <= self.window_max <= RECEIVE_MAXIMUM_MAX or not 1 <= self.arrivals_max <= RECEIVE_MAXIMUM_MAX:
            raise ConfigError(f"the broker's windows are from 1 to {RECEIVE_MAXIMUM_MAX} messages")
        if not 1 <= self.packet_bytes_max <= MQTT_PACKET_BYTES_MAX:
            raise ConfigError(f"the broker's packets are from 1 to {MQTT_PACKET_BYTES_MAX} bytes")
        if not 1 <= self.keepalive_s <= RECEIVE_MAXIMUM_MAX or self.silence_s_max <= 2 * self.keepalive_s:
            raise ConfigError("the broker's silence_s_max must be over twice keepalive_s, or healthy silence ends it")

    @property
    def address(self) -> str:
        """``HOST:PORT``, for people."""
        return f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Return whether a host can only be this machine. Names are not looked up: only ``localhost`` is believed."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_address(text: str, *, default_port: int = 1883) -> tuple[str, int]:
    """Return host and port of ``HOST``, ``HOST:PORT`` or ``[IPV6]:PORT``.

    Raises:
        ConfigError: It is none of these.
    """
    host, separator, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not separator:
        host, port = text, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65_535:
        raise ConfigError(f"expected a broker as HOST:PORT, found {text!r}")
    return host, int(port)
