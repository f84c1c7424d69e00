"""One bounded datagram at a time between two processes of the box, each with at most one descriptor beside it.

Rules that every implementation keeps:
    1. A datagram arrives whole or not at all; one that had to be cut is refused, never handed over in part.
    2. Waiting is bounded, for sending as for receiving.
    3. A descriptor that nobody expects is closed at once, and what came with it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appliance.errors import TransientError


class ChannelClosed(TransientError):  # noqa: N818 - named for what happened; the remedy is to connect anew
    """The other process is gone, or this end was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What came from the other process.

    Attributes:
        datagram: 1 to ``DATAGRAM_BYTES_MAX`` bytes, unparsed.
        descriptor: Belongs to the receiver from now on, who closes it; None when none came.
    """

    datagram: bytes
    descriptor: int | None


class Channel(Protocol):
    """One end of a connection to one other process."""

    @property
    def peer_pid(self) -> int:
        """Process id of the other end when it connected. For messages to people; never for decisions."""
        ...

    def fileno(self) -> int:
        """Return what a selector watches for reading; -1 once closed."""
        ...

    def send(self, datagram: bytes, descriptor: int | None = None) -> None:
        """Send one datagram, and a duplicate of ``descriptor`` with it. The caller keeps its own.

        Raises:
            ChannelClosed: The other process is gone.
            TransientError: It did not read for so long that nothing more fits; this datagram was not sent.
            InvariantError: The datagram is empty or longer than ``DATAGRAM_BYTES_MAX``.
        """
        ...

    def receive(self, timeout_s: float) -> Received | None:
        """Return the next datagram, or None when none came within ``timeout_s`` (0: only look).

        Raises:
            ChannelClosed: The other process is gone and everything it sent has been received.
            TrustError: ``local-truncated``, or ``local-descriptor-unexpected``: the datagram is discarded.
        """
        ...

    def close(self) -> None:
        """End the connection. Safe to call twice."""
        ...
