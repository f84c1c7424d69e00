"""Throws altered orders and authorities at the code that opens them: none may be accepted, none may crash it.

    python tools/fuzz.py 1000000 7                    # one million, seed 7
    python tools/fuzz.py 1000000 7 --state fuzz.json  # the same; interrupted, it goes on where it was
    python tools/fuzz.py --only 4711 0 7              # one trial again, to look at it

The last line is ``tried=N accepted=0 crashed=0``; anything else there ends with status 1. So does a control that is
refused: the unaltered order and authority must be accepted, or the whole run would prove nothing.

Trial number i of a seed is always the same, whatever ran before it. A mutant that says the same in other white space
or with the signatures in another order *is* the original; it is replaced by the next mutation of the same trial.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests" / "lib", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import deployment_for_tests as deployment  # noqa: E402
from envelopes_for_tests import signed_payload, taken_apart  # noqa: E402
from keys_for_tests import MemorySigningKey  # noqa: E402

from appliance.authority.authorities import open_authority  # noqa: E402
from appliance.authority.orders import open_order  # noqa: E402
from appliance.errors import TrustError  # noqa: E402
from appliance.wire.envelope import sign  # noqa: E402
from appliance.wire.statements import OrderAction, ShareForDevice, Statement, statement_type  # noqa: E402

SAVE_EVERY = 10_000
REPORT_SECONDS = 2.0
FINDINGS_MAX = 20
RESPELLED_MAX = 50
AUTHORITY_SHARE = 4
"""The authority is drawn so many times as often as each of the six orders."""

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that is accepted as it is, and everything that mutations of it need.

    Attributes:
        right: The keys that sign it; ``wrong``: sets of keys that must not be enough.
        broken: Changes after each of which it is refused although the right keys sign it.
    """

    name: str
    envelope: bytes
    wire: Tree
    payload: bytes
    fields: Tree
    kind: str
    open: Callable[[bytes], object]
    right: tuple[MemorySigningKey, ...]
    wrong: tuple[tuple[MemorySigningKey, ...], ...]
    broken: tuple[Tree, ...]
    others: tuple[bytes, ...]


Mutation = Callable[[random.Random, Subject], bytes]


# ---- bytes -----------------------------------------------------------------------------------------------------------


def scrambled(rng: random.Random, data: bytes) -> bytes:
    """Return ``data`` after one of the classic alterations of a byte string."""
    place, span = rng.randrange(len(data)), rng.randrange(1, 33)
    kind = rng.randrange(6)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + data[place + span :]
    if kind == 2:
        return data[:place] + rng.randbytes(span) + data[place:]
    if kind == 3:
        return data[:place] + data[place : place + span] * 2 + data[place + span :]
    if kind == 4:
        return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
    flipped = bytearray(data)
    for _ in range(rng.randrange(1, 9)):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def scramble_envelope(rng: random.Random, subject: Subject) -> bytes:
    return scrambled(rng, subject.envelope)


def scramble_payload(rng: random.Random, subject: Subject) -> bytes:
    return rewrapped(subject, payload=base64.b64encode(scrambled(rng, subject.payload)).decode())


def scramble_base64(rng: random.Random, subject: Subject) -> bytes:
    """Alter the base64 itself: stray bits, padding, alphabet, white space inside."""
    text: str = subject.wire["payload"]
    place = rng.randrange(len(text))
    choices = (
        text[:place] + rng.choice("+/-_= \n\\A9") + text[place + 1 :],
        text[:place] + rng.choice("= \n\t\x00é") + text[place:],
        text.rstrip("="),
        text + rng.choice(("=", "====", "AAAA", "\n")),
        text.translate(str.maketrans("+/", "-_")) + "A",
    )
    return rewrapped(subject, payload=rng.choice(choices))


# ---- the wrapper -----------------------------------------------------------------------------------------------------


def rewrapped(subject: Subject, **changes: object) -> bytes:
    return json.dumps({**subject.wire, **changes}).encode()


def nasty(rng: random.Random) -> object:
    """Return a value that some parser somewhere has stumbled over."""
    return rng.choice(NASTY)


NASTY: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ",
    "any", "\x00", "é" * 40, "\ud800", "A" * 5_000, "../../etc/passwd", "%n%s", [], {}, [[[[[[[[[[]]]]]]]]]], [None],
    {"": ""}, {"__class__": "Order"}, "device-1", "oona", "alice", "9" * 64, "a" * 64,
)  # fmt: skip


def alter_wrapper(rng: random.Random, subject: Subject) -> bytes:
    name = rng.choice(("payload", "payloadType", "signatures", "keyid", "extra"))
    return rewrapped(subject, **{name: nasty(rng)})


def alter_type(rng: random.Random, subject: Subject) -> bytes:
    kinds = [statement_type(kind) for kind in Statement.__subclasses__() if statement_type(kind) != subject.kind]
    return rewrapped(
        subject, payloadType=rng.choice([*kinds, subject.kind.upper(), subject.kind + " ", "application/json"])
    )


def repeat_key(rng: random.Random, subject: Subject) -> bytes:
    """A duplicate key in the wrapper: first or last, the parser must not choose."""
    name = rng.choice(("payload", "payloadType", "signatures"))
    added = json.dumps({name: rng.choice((nasty(rng), subject.wire[name]))})[1:-1].encode()
    body = subject.envelope[1:-1]
    return b"{" + (added + b"," + body if rng.random() < 0.5 else body + b"," + added) + b"}"


def alter_signatures(rng: random.Random, subject: Subject) -> bytes:
    signatures = [dict(signature) for signature in subject.wire["signatures"]]
    chosen = rng.choice(signatures)
    raw = base64.b64decode(chosen["sig"])
    kind = rng.randrange(8)
    if kind == 0:
        signatures.remove(chosen)
    elif kind == 1:
        signatures.append(dict(chosen))
    elif kind == 2:  # the same signature under another name
        signatures.append(
            dict(chosen, keyid=rng.choice((rng.randbytes(32).hex(), rng.choice(subject.wrong)[0].key_id)))
        )
    elif kind == 3:  # a malleated signature: S + L is the same number modulo the group's order (RFC 8032 §8.4)
        scalar = int.from_bytes(raw[32:], "little") + ED25519_ORDER
        chosen["sig"] = base64.b64encode(raw[:32] + scalar.to_bytes(32, "little")).decode()
    elif kind == 4:
        chosen["sig"] = base64.b64encode(rng.choice((bytes(64), rng.randbytes(64), scrambled(rng, raw)))).decode()
    elif kind == 5:
        chosen["keyid"] = rng.choice((chosen["keyid"].upper(), chosen["keyid"][:-1], "", nasty(rng)))
    elif kind == 6:
        chosen[rng.choice(("sig", "alg", "cert"))] = nasty(rng)
    else:  # signatures of another statement by the same people
        signatures = json.loads(rng.choice(subject.others))["signatures"]
    return rewrapped(subject, signatures=signatures)


def send_another(rng: random.Random, subject: Subject) -> bytes:
    return rng.choice(subject.others)


# ---- the payload -----------------------------------------------------------------------------------------------------


def altered_fields(rng: random.Random, subject: Subject) -> Tree:
    """Return the fields with one to three of them changed, plausibly or not."""
    fields = dict(subject.fields)
    for name in rng.sample(sorted(fields), rng.randrange(1, 4)):
        value = fields[name]
        if isinstance(value, int) and rng.random() < 0.7:
            fields[name] = value + rng.choice((-1, 1, 1_000, -1_000, 3_600_000))
        elif isinstance(value, str) and value and rng.random() < 0.7:
            fields[name] = value[:-1] + rng.choice("0123456789abcdef")
        else:
            fields[name] = nasty(rng)
    return fields


def dumped(fields: Tree) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def alter_fields_unsigned(rng: random.Random, subject: Subject) -> bytes:
    return rewrapped(subject, payload=base64.b64encode(dumped(altered_fields(rng, subject))).decode())


def alter_fields_signed_wrongly(rng: random.Random, subject: Subject) -> bytes:
    fields = altered_fields(rng, subject) if rng.random() < 0.8 else subject.fields
    return signed_payload(dumped(fields), subject.kind, *rng.choice(subject.wrong))


def break_structure_signed_rightly(rng: random.Random, subject: Subject) -> bytes:
    """What careless software of an honest signer could send: the signature is good, the JSON is not ours."""
    payload, name = subject.payload, rng.choice(sorted(subject.fields))
    key, fields = json.dumps(name).encode() + b":", dict(subject.fields)
    kind = rng.randrange(7)
    if kind == 0:
        del fields[name]
    elif kind == 1:
        fields[rng.choice(("x", name + "_", name.upper(), "__proto__"))] = nasty(rng)
    elif kind == 2:
        fields[name] = {"was": fields[name]}
    elif kind == 3:
        fields[name] = [] if not isinstance(fields[name], list) else None
    if kind < 4:
        return signed_payload(dumped(fields), subject.kind, *subject.right)
    if kind == 4:
        payload = b"{" + key + json.dumps(nasty(rng)).encode() + b"," + payload[1:]
    elif kind == 5:
        constant = rng.choice((b"NaN", b"-Infinity", b"1e5", b"0x10", b"01", b"1.0", b"[" * 60 + b"]" * 60))
        payload = payload.replace(key, key + constant + b',"rest":', 1)
    else:
        payload = rng.choice((payload[: rng.randrange(len(payload))], payload + b"{}", b"\xef\xbb\xbf" + payload))
    return signed_payload(payload, subject.kind, *subject.right)


def break_rule_signed_rightly(rng: random.Random, subject: Subject) -> bytes:
    """One change that a rule forbids, with good signatures, among changes that may be harmless."""
    fields = {**subject.fields, **rng.choice(subject.broken)}
    return signed_payload(dumped(fields), subject.kind, *subject.right)


MUTATIONS: tuple[tuple[Mutation, int], ...] = (
    (scramble_envelope, 25),
    (scramble_payload, 10),
    (scramble_base64, 8),
    (alter_wrapper, 5),
    (alter_type, 3),
    (repeat_key, 5),
    (alter_signatures, 12),
    (send_another, 1),
    (alter_fields_unsigned, 10),
    (alter_fields_signed_wrongly, 9),
    (break_structure_signed_rightly, 7),
    (break_rule_signed_rightly, 5),
)
"""Each mutation with its share in a hundred."""


# ---- the subjects ----------------------------------------------------------------------------------------------------


def subjects() -> tuple[Subject, ...]:
    """Return an order of each kind and an authority: the same bytes in every run, so nothing freshly sealed."""
    share = ShareForDevice(device_id=deployment.DEVICE_ID, sealed="AAAA")
    list_digest = deployment.digest_of("list")
    authority_envelope = sign(
        deployment.an_authority(shares=(share,), watchlist_digest=list_digest), deployment.ALICE, deployment.BOB
    )
    roster_envelope = sign(deployment.a_roster(), *deployment.ROOT_KEYS[:2])
    roster = deployment.a_trusted_roster()
    in_force = deployment.accept_authority(authority_envelope)
    now = deployment.time_at()

    def order(envelope: bytes) -> object:
        return open_order(
            envelope,
            roster=roster,
            device_id=deployment.DEVICE_ID,
            authority=in_force,
            counter=deployment.COUNTER,
            boot_nonce=deployment.BOOT_NONCE,
            now=now,
            retained=False,
        )

    def authority(envelope: bytes) -> object:
        return open_authority(
            envelope,
            roster=roster,
            device_id=deployment.DEVICE_ID,
            site_id=deployment.SITE_ID,
            now=now,
            policy=deployment.POLICY,
        )

    orders = {action: sign(deployment.an_order(action), deployment.OONA) for action in OrderAction}
    other = (roster_envelope, sign(deployment.a_receipt(), deployment.CONTROL_ROOM))
    made = [
        _subject(
            f"order {action.value}",
            envelope,
            order,
            right=(deployment.OONA,),
            wrong=ORDER_WRONG,
            broken=STOP_BROKEN if action in (OrderAction.DEACTIVATE, OrderAction.ERASE) else STOP_BROKEN + ORDER_BROKEN,
            others=(authority_envelope, *other),
        )
        for action, envelope in orders.items()
    ]
    made.append(
        _subject(
            "authority",
            authority_envelope,
            authority,
            right=(deployment.ALICE, deployment.BOB),
            wrong=AUTHORITY_WRONG,
            broken=AUTHORITY_BROKEN,
            others=(*orders.values(), *other),
        )
    )
    return tuple(made)


def _subject(name: str, envelope: bytes, opener: Callable[[bytes], object], **rest: Any) -> Subject:  # noqa: ANN401
    wire, payload = taken_apart(envelope)
    return Subject(
        name=name,
        envelope=envelope,
        wire=wire,
        payload=payload,
        fields=json.loads(payload),
        kind=wire["payloadType"],
        open=opener,
        **rest,
    )


_NOW = deployment.NOW_MS
ORDER_WRONG = (
    (deployment.STRANGER,),
    (deployment.OMAR,),
    (deployment.BOB,),
    (deployment.ALICE,),
    (deployment.CONTROL_ROOM,),
    (deployment.DEVICE,),
    (deployment.OONA, deployment.STRANGER),
    (deployment.OONA, deployment.OMAR),
)
AUTHORITY_WRONG = (
    (deployment.STRANGER,),
    (deployment.ALICE,),
    (deployment.BOB,),
    (deployment.ALICE, deployment.ALICE_SECOND),
    (deployment.ALICE, deployment.OONA),
    (deployment.BOB, deployment.OONA),
    (deployment.ALICE, deployment.STRANGER),
    (deployment.ALICE, deployment.CONTROL_ROOM),
    (deployment.ALICE, deployment.BOB, deployment.STRANGER),
    deployment.ROOT_KEYS,
)
STOP_BROKEN: tuple[Tree, ...] = (
    {"counter": 0},
    {"counter": deployment.COUNTER - 1},
    {"counter": 2**53 - 1},
    {"device_id": "device-2"},
    {"device_id": "any"},
    {"operator": "omar"},
    {"operator": "nobody"},
    {"authority_id": "authority-2"},
    {"expires_at_ms": 0},
    {"expires_at_ms": _NOW + 10 * 60_000},
    {"action": "record"},
    {"threshold_e4": 1},
)
ORDER_BROKEN: tuple[Tree, ...] = (
    {"counter": deployment.COUNTER},
    {"authority_id": "any"},
    {"boot_nonce": "00" * 16},
    {"lease_seconds": 1},
    {"lease_seconds": 3_600},
    {"issued_at_ms": _NOW - 290_000, "expires_at_ms": _NOW - 1},
    {"issued_at_ms": _NOW + 60_000, "expires_at_ms": _NOW + 61_000},
)
AUTHORITY_BROKEN: tuple[Tree, ...] = (
    {"drafted_by": "nobody"},
    {"drafted_at_ms": _NOW + 3_600_000},
    {"site_id": "site-2"},
    {"not_after_ms": _NOW},
    {"not_after_ms": _NOW + 48 * 3_600_000},
    {"not_before_ms": _NOW + 8 * 3_600_000},
    {"operators": ["oona", "oona"]},
    {"operators": ["bob"]},
    {"operators": []},
    {"control_room": "control-room-2"},
    {"allowed_categories": ["protest"]},
    {"size_max": 20_001},
    {"threshold_floor_e4": 3_499},
    {"shots_needed": 6},
    {"lease_seconds_max": 86_400},
    {"shares": [{"device_id": "device-2", "sealed": "AAAA"}]},
)


# ---- the run ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run has found so far."""

    tried: int = 0
    accepted: int = 0
    crashed: int = 0

    def line(self) -> str:
        return f"tried={self.tried} accepted={self.accepted} crashed={self.crashed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One mutant and what became of it: ``refused`` (with the rule), ``accepted`` or ``crashed`` (with the error)."""

    subject: str
    mutation: str
    envelope: bytes
    outcome: str
    detail: str


class Fuzzer:
    """Runs trials by number; the same seed and number make the same trial."""

    def __init__(self, seed: int, among: Sequence[Subject]) -> None:
        self._seed = seed
        self._subjects = among
        self._drawn = [subject for subject in among for _ in range(1 if "order" in subject.name else AUTHORITY_SHARE)]
        self._mutations = [mutation for mutation, share in MUTATIONS for _ in range(share)]

    def controls(self) -> list[str]:
        """Return the subjects that are refused although nothing was altered: there must be none."""
        refused = []
        for subject in self._subjects:
            try:
                subject.open(subject.envelope)
            except TrustError as error:
                refused.append(f"{subject.name}: {error}")
        return refused

    def trial(self, number: int) -> Trial:
        rng = random.Random((self._seed << 64) | number)
        for _ in range(RESPELLED_MAX):
            subject, mutation = rng.choice(self._drawn), rng.choice(self._mutations)
            envelope = mutation(rng, subject)
            outcome, detail = _attempt(subject, envelope)
            if outcome != "accepted" or not _says_the_same(envelope, subject.wire):
                break
        return Trial(
            subject=subject.name, mutation=mutation.__name__, envelope=envelope, outcome=outcome, detail=detail
        )


def _attempt(subject: Subject, envelope: bytes) -> tuple[str, str]:
    try:
        subject.open(envelope)
    except TrustError as error:
        return "refused", error.rule
    except Exception as error:  # noqa: BLE001 - whatever else comes out is what we are looking for
        return "crashed", repr(error)
    return "accepted", ""


def _says_the_same(envelope: bytes, original: Tree) -> bool:
    """Whether an *accepted* mutant is the original in another spelling: the same fields, signatures in any order."""
    try:
        wire = json.loads(envelope, object_pairs_hook=_members)
        return _in_order(wire) == _in_order(original)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _members(pairs: list[tuple[str, Any]]) -> Tree:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice: not the original, whatever its values")
    return members


def _in_order(wire: Tree) -> Tree:
    return {**wire, "signatures": sorted(wire["signatures"], key=lambda signature: str(signature["keyid"]))}


def run(fuzzer: Fuzzer, *, until: int, tally: Tally, rules: Counter[str], save: Callable[[Tally], None]) -> None:
    """Run trials ``tally.tried`` to ``until``, printing progress to stderr and findings to stdout."""
    began, first, told = time.monotonic(), tally.tried, 0.0
    for number in range(first, until):
        trial = fuzzer.trial(number)
        tally.tried += 1
        if trial.outcome == "refused":
            rules[trial.detail] += 1
        else:
            tally.accepted += trial.outcome == "accepted"
            tally.crashed += trial.outcome == "crashed"
            if tally.accepted + tally.crashed <= FINDINGS_MAX:
                print(f"trial {number}: {trial.subject}, {trial.mutation}: {trial.outcome} {trial.detail}")
        if tally.tried % SAVE_EVERY == 0:
            save(tally)
        if number % 512 == 0 and time.monotonic() - told > REPORT_SECONDS:
            told = time.monotonic()
            rate = (tally.tried - first) / max(told - began, 1e-9)
            print(f"{tally.line()}  {rate:,.0f}/s  {(until - number) / rate:,.0f} s to go", file=sys.stderr)
    save(tally)


def load(path: Path | None, seed: int) -> Tally:
    """Return the tally that ``path`` holds for this seed, or a new one."""
    if path is None or not path.exists():
        return Tally()
    state = json.loads(path.read_text(encoding="utf-8"))
    if state.pop("seed") != seed:
        raise SystemExit(f"{path} is the state of another seed; name another file, or delete it")
    return Tally(**state)


def saver(path: Path | None, seed: int) -> Callable[[Tally], None]:
    """Return what stores a tally, whole or not at all."""

    def save(tally: Tally) -> None:
        if path is not None:
            state = {"seed": seed, "tried": tally.tried, "accepted": tally.accepted, "crashed": tally.crashed}
            part = path.with_name(path.name + ".part")
            part.write_text(json.dumps(state), encoding="utf-8")
            part.replace(path)

    return save


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int, metavar="N", help="how many mutants in all")
    parser.add_argument("seed", type=int, metavar="SEED", nargs="?", default=1)
    parser.add_argument("--state", type=Path, help="where to keep the count, so that a run can be resumed")
    parser.add_argument("--only", type=int, metavar="TRIAL", help="run this one trial and print its envelope")
    options = parser.parse_args(arguments)
    fuzzer = Fuzzer(options.seed, subjects())
    refused = fuzzer.controls()
    if refused:
        print("the control was refused, so nothing is proved:", *refused, sep="\n  ")
        return 1
    if options.only is not None:
        trial = fuzzer.trial(options.only)
        print(trial.subject, trial.mutation, trial.outcome, trial.detail, trial.envelope.decode("latin-1"), sep="\n")
        return 0 if trial.outcome == "refused" else 1
    tally, rules = load(options.state, options.seed), Counter[str]()
    run(fuzzer, until=options.number, tally=tally, rules=rules, save=saver(options.state, options.seed))
    for rule, count in rules.most_common():
        print(f"{count:>9}  {rule}", file=sys.stderr)
    print(tally.line())
    return 0 if tally.accepted == tally.crashed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
