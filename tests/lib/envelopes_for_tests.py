"""Envelopes as an attacker makes them: taken apart, altered, and put together again by hand."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from keys_for_tests import MemorySigningKey

from appliance.wire.envelope import pae


def taken_apart(envelope: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the wrapper as a dict, and the payload's bytes."""
    wire = json.loads(envelope)
    return wire, base64.b64decode(wire["payload"])


def with_wrapper(envelope: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return ``envelope`` after ``change`` has altered its wrapper in place."""
    wire, _ = taken_apart(envelope)
    change(wire)
    return json.dumps(wire).encode()


def with_payload(envelope: bytes, payload: bytes) -> bytes:
    """Return ``envelope`` around another payload, the signatures as they were."""
    return with_wrapper(envelope, lambda wire: wire.update(payload=base64.b64encode(payload).decode()))


def signed_payload(payload: bytes, payload_type: str, *keys: MemorySigningKey) -> bytes:
    """Return a correctly signed envelope around *any* payload: what a careless or hostile signer could send."""
    signatures = [
        {"keyid": key.key_id, "sig": base64.b64encode(key.sign(pae(payload_type, payload))).decode()} for key in keys
    ]
    wire = {"payload": base64.b64encode(payload).decode(), "payloadType": payload_type, "signatures": signatures}
    return json.dumps(wire).encode()


def resigned(envelope: bytes, change: Callable[[bytes], bytes], *keys: MemorySigningKey) -> bytes:
    """Return the payload after ``change``, signed anew by ``keys``: only the payload's own rules can refuse it."""
    wire, payload = taken_apart(envelope)
    return signed_payload(change(payload), wire["payloadType"], *keys)
