"""Names for ids and instants, so that a wall-clock time cannot be passed where a boot-clock time belongs."""

from __future__ import annotations

from typing import NewType

DeviceId = NewType("DeviceId", str)
PersonId = NewType("PersonId", str)
ReferenceId = NewType("ReferenceId", str)
AlertId = NewType("AlertId", str)
AuthorityId = NewType("AuthorityId", str)

KeyId = NewType("KeyId", str)
"""SHA-256 over the 32 raw bytes of an Ed25519 or X25519 public key, 64 lower-case hex digits: its thumbprint."""

Digest = NewType("Digest", str)
"""SHA-256 over some bytes, 64 lower-case hex digits."""

UnixMs = NewType("UnixMs", int)
"""Wall-clock milliseconds since 1970 (UTC). Can jump; never used for a deadline."""

BootNs = NewType("BootNs", int)
"""Nanoseconds of CLOCK_BOOTTIME: only grows, counts suspend, is the same in every process of one boot."""

ScoreE4 = NewType("ScoreE4", int)
"""A cosine comparison score or threshold in ten-thousandths (6000 is 0.60), since signed statements hold no floats."""

SCORE_E4_MAX = 10_000
