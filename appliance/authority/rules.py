"""Every rule that may refuse something, and what a person does about it: the one table behind acknowledgements.

Rules of this module:
    1. A name is constant, kebab-case and never reused with another meaning: logs, counters and servers rely on it.
    2. A sentence is for an operator: what is wrong and what to do. It holds nothing about anybody.
    3. A test holds the table equal to what ``authority`` and ``wire`` raise; the rest may add to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

UNKNOWN_RULE = "It was refused by a rule that this version does not explain; look the rule up in the documentation."

TIME_RULES: Mapping[str, str] = MappingProxyType(
    {
        "time-behind-floor": "The device's clock is wrong (in the past); set it, or wait until it has found the time.",
        "time-stepped": "The device's clock jumped; send a resume order if your own clock is right.",
    }
)

ROSTER_RULES: Mapping[str, str] = MappingProxyType(
    {
        "root-of-trust-unusable": "Provision as many distinct root keys as their threshold asks for.",
        "roster-dates-wrong": "Issue a roster whose expiry lies after its issue.",
        "roster-expired": "The roster has expired; have the root sign a new one and send it.",
        "roster-from-future": "The roster is dated later than now; check the clock of the machine that issued it.",
        "roster-id-repeated": "Issue a roster in which every person, service and device id stands once.",
        "roster-key-malformed": "Issue a roster whose keys are canonical base64 of 32 bytes.",
        "roster-key-shared": "Issue a roster in which every key stands once: one key, one holder.",
        "roster-key-weak": "Issue a roster without this key: anybody can sign for it. Its holder makes a new one.",
        "roster-new-root-unsigned": "A roster that changes the root is signed by the old root and by the new one.",
        "roster-root-unreachable": "Issue a roster with enough root keys, unexpired and unrevoked, for its threshold.",
        "roster-unknown-control-room": "Put the control room into the roster, or name one that stands there.",
        "roster-unknown-device": "Put the device into the roster, with a key that is not revoked.",
        "roster-unknown-key": "Sign with a key that stands in the roster and is not revoked.",
        "roster-version-lower": "The device already has a newer roster; send the newest.",
        "roster-version-reused": "Give each roster a version of its own; the device has another one of this version.",
    }
)

AUTHORITY_RULES: Mapping[str, str] = MappingProxyType(
    {
        "authority-alerts-live-too-long": "Draft it again with a shorter alert validity.",
        "authority-calibration-unknown": "Name a calibration that was installed on this device.",
        "authority-category-denied": "Draft it again without the categories that this device denies.",
        "authority-drafter-unknown": "Name as drafter somebody who stands in the roster.",
        "authority-ended": "This authority has ended on this device and stays so; draft and sign a new one.",
        "authority-from-future": "It is dated later than now; check the clock of the machine that drafted it.",
        "authority-lease-too-long": "Draft it again with a shorter greatest lease.",
        "authority-margin-too-low": "Draft it again with a greater margin.",
        "authority-no-officer": "An authorising officer signs it, besides a reviewer.",
        "authority-no-reviewer": "A reviewer signs it, besides an authorising officer.",
        "authority-not-begun": "Wait until its window begins.",
        "authority-one-person": "Two persons sign it; two keys of one person are one person.",
        "authority-one-role-holder": "Officer and reviewer are two persons; have the other one sign.",
        "authority-one-signature": "A second person signs it, with a key of their own.",
        "authority-operator-unknown": "Name only operators who stand in the roster as operators.",
        "authority-other-device": "Draft it again with a share for this device, or send it to the device it names.",
        "authority-other-model": "Draft it for the model that this device runs.",
        "authority-other-site": "Draft it for the site where this device stands.",
        "authority-over": "Its window is over; draft and sign a new one.",
        "authority-repeats-itself": "Name each device, operator and category once.",
        "authority-retained": "Send it without the retained flag, and remove it from the broker.",
        "authority-retention-contradicts": "Keep rejected alerts no longer than accepted ones.",
        "authority-retention-too-long": "Draft it again with a shorter retention.",
        "authority-shots-contradict": "Ask for no more agreeing shots than are taken.",
        "authority-shots-too-few": "Draft it again with more agreeing shots.",
        "authority-size-too-large": "Draft it again with a smaller cap on the list.",
        "authority-threshold-too-low": "Draft it again with a higher threshold floor.",
        "authority-window-empty": "Let its window end after it begins.",
        "authority-window-too-long": "Draft it again with a shorter window.",
    }
)

WATCHLIST_RULES: Mapping[str, str] = MappingProxyType(
    {
        "watchlist-category-denied": "Build the list again without the categories that this device denies.",
        "watchlist-category-not-allowed": "Build the list again with the categories that the authority allows.",
        "watchlist-created-too-late": "Build the list before the window begins, on a machine whose clock is right.",
        "watchlist-expired": "The list has expired, or does so before the window; build a new one.",
        "watchlist-not-the-one": "Send the list that the authority names, unaltered.",
        "watchlist-other-model": "Build the list with the model that the authority names.",
        "watchlist-over-cap": "Build a smaller list: it holds more entries than the authority allows.",
        "watchlist-too-old": "Build a new list, at most 24 hours before the window begins.",
    }
)

ORDER_RULES: Mapping[str, str] = MappingProxyType(
    {
        "order-counter-leaps": "Take the counter from the device's newest status, plus one.",
        "order-counter-not-higher": "The device has obeyed a later order; take its status, and order anew.",
        "order-counter-used": "The number is taken, or the order was sent twice; take the device's status, order anew.",
        "order-expired": "The order came too late; order anew.",
        "order-field-not-for-action": "Leave out what the action does not use.",
        "order-from-future": "The order is dated later than now; check the clock of the machine that signed it.",
        "order-key-expired": "The key that signed it has expired; sign with another, or have the roster renewed.",
        "order-lease-out-of-range": "Ask for a lease of at least 5 seconds, at most what the authority allows.",
        "order-life-wrong": "Let the order expire after its issue, at most five minutes later.",
        "order-many-signers": "One operator signs an order.",
        "order-no-authority": "Send an authority first; the device has none.",
        "order-nonce-stale": "The device has restarted; take its newest status, and order anew.",
        "order-operator-not-signer": "The operator whom the order names signs it.",
        "order-other-authority": "The order is for another authority than the one in force; take its status.",
        "order-other-device": "The order is for another device.",
        "order-retained": "Send orders without the retained flag, and remove this one from the broker.",
        "order-signer-not-operator": "Only an operator whom the authority names may order this.",
        "order-threshold-below-floor": "A threshold never goes below the authority's floor.",
    }
)

ANSWER_RULES: Mapping[str, str] = MappingProxyType(
    {
        "answer-adjudicator-unknown": "Somebody who is an adjudicator in the roster decides about alerts.",
        "answer-from-future": "It is dated later than now; check the control room's clock.",
        "answer-other-control-room": "The control room that the authority names answers, in its own name.",
        "answer-other-device": "The answer is for another device.",
    }
)

WIRE_RULES: Mapping[str, str] = MappingProxyType(
    {
        "envelope-malformed": "The file is damaged or no envelope; send the original once more.",
        "envelope-too-large": "The file is larger than any statement of this kind; send the original.",
        "envelope-wrong-type": "This is another kind of statement than the one expected here; send the right file.",
        "key-id-not-thumbprint": "A signature goes by the SHA-256 of its key; sign it again with this product.",
        "key-malformed": "A public key has 32 bytes; export the key once more.",
        "local-malformed": "The parts of this device do not understand each other; restart it, then install it anew.",
        "local-version": "The parts of this device are of different versions; install it anew.",
        "payload-duplicate-key": "The statement says something twice; make it with this product.",
        "payload-missing-field": "The statement lacks a field; make it with this product, in a matching version.",
        "payload-not-a-number": "The statement holds NaN or Infinity; make it with this product.",
        "payload-not-an-integer": "The statement holds a fraction or too long a number; make it with this product.",
        "payload-not-json": "The statement is not JSON in UTF-8; send the original once more.",
        "payload-too-deep": "The statement is nested deeper than any of ours; make it with this product.",
        "payload-too-large": "The statement is larger than any of its kind; make it smaller.",
        "payload-unknown-field": "The statement has a field that this version does not know; update, or leave it out.",
        "payload-wrong-type": "A field of the statement has a wrong type or lies out of its range; correct it.",
        "sealed-malformed": "A sealed part is damaged; send the original once more.",
        "sealed-not-for-us": "A sealed part is for another device or another purpose; seal it for this one.",
        "sealed-recipient-malformed": "The recipient's sealing key is unusable; export it once more.",
        "sealed-unknown-suite": "A sealed part uses encryption that this version does not know; update, or seal anew.",
        "signature-duplicate": "One key has signed twice; another person signs it.",
        "signature-invalid": "It was altered after signing, or damaged; send the original, or sign anew.",
        "signature-missing": "Nobody has signed it; sign it.",
        "signer-not-trusted": "Somebody signed who may not, or whose key is revoked or expired; sign with another.",
        "too-few-signers": "Fewer people have signed than must; have the others sign, too.",
        "too-many-signatures": "At most 16 signatures stand in an envelope; start from the unsigned statement.",
        "topic-unknown": "The message came on a topic that nobody uses; check the sender's settings.",
    }
)

RULES: Mapping[str, str] = MappingProxyType(
    {**TIME_RULES, **ROSTER_RULES, **AUTHORITY_RULES, **WATCHLIST_RULES, **ORDER_RULES, **ANSWER_RULES, **WIRE_RULES}
)
"""Rule name -> what an operator does about it."""


def explain(rule: str) -> str:
    """Return the sentence for ``rule``, for an acknowledgement; a plain one for a rule that is not in the table."""
    return RULES.get(rule, UNKNOWN_RULE)
