"""What an operator may order. One signature; nothing here can widen an authority."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec

from appliance.wire.statements.base import Count, Identifier, InstantMs, Statement


class OrderAction(str, Enum):
    """The six verbs."""

    ACTIVATE = "activate"
    RENEW = "renew"
    DEACTIVATE = "deactivate"
    RAISE_THRESHOLD = "raise-threshold"
    RESUME = "resume"
    ERASE = "erase"


class Order(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order to one device under one authority.

    Attributes:
        counter: Higher than every counter that this device has seen from any operator.
        boot_nonce: For ``activate``, the nonce of the device's newest status, hex; empty for every other action.
        lease_seconds: For ``activate`` and ``renew``; 0 for every other action.
        threshold_e4: For ``raise-threshold``; 0 for every other action.
        authority_id: For ``deactivate`` and ``erase`` it may be ``any``: stopping must be easy.
    """

    order_id: Identifier
    action: OrderAction
    device_id: Identifier
    authority_id: Identifier
    operator: Identifier
    counter: Count
    issued_at_ms: InstantMs
    expires_at_ms: InstantMs
    boot_nonce: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{32})?\Z")]
    lease_seconds: Annotated[int, msgspec.Meta(ge=0, le=3_600)]
    threshold_e4: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    reason: Annotated[str, msgspec.Meta(max_length=500)]
