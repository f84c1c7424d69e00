"""Writes docs/schemas: a JSON Schema and a worked, verifiable example of every statement, and how to read them.

    python tools/schemas.py          # write what has changed
    python tools/schemas.py --check  # write nothing; end with status 1 where the folder is out of date

The output is the same in every run: example keys come from names, instants are fixed, seals use chosen keys.
"""

from __future__ import annotations

import argparse
import base64
import inspect
import json
import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests" / "lib", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from keys_for_tests import unsealing_key  # noqa: E402

from appliance.wire import strict_json, topics  # noqa: E402
from appliance.wire.envelope import SIGNATURES_MAX, WRAPPER_BYTES_MAX, pae, sha256_hex  # noqa: E402
from appliance.wire.sealing import INFO_DOMAIN  # noqa: E402
from appliance.wire.statements import (  # noqa: E402
    STATEMENTS,
    Order,
    SealedAlert,
    Statement,
    WatchlistEntry,
    statement_name,
    statement_type,
)
from tools import example_statements as told  # noqa: E402

FOLDER = ROOT / "docs" / "schemas"
README_TEMPLATE = ROOT / "tools" / "schemas_readme.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

SEALED_TYPES: dict[type[msgspec.Struct], msgspec.Struct] = {
    SealedAlert: told.sealed_alert(),
    WatchlistEntry: told.watchlist_entry(),
}
"""Types that lie inside a seal or an encrypted body, unsigned, with their examples."""

UNSIGNED = {SealedAlert: "none: inside an alert's seal", WatchlistEntry: "none: inside a list's encrypted body"}

Tree = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the folder; return the exit status."""
    parser = argparse.ArgumentParser(description="Write docs/schemas, or check that it is up to date.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where a file is out of date")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="another folder than docs/schemas")
    options = parser.parse_args(arguments)
    wanted = files()
    folder: Path = options.folder
    stale = [name for name, content in wanted.items() if _content(folder / name) != content]
    extra = [path for path in sorted(folder.glob("*")) if path.name not in wanted]
    if options.check:
        for name in (*stale, *(path.name for path in extra)):
            print(f"{name} is out of date: run `make schemas`")
        return 1 if stale or extra else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (folder / name).write_bytes(wanted[name])
    for path in extra:
        path.unlink()
    print(f"{len(wanted)} files, {len(stale)} written, {len(extra)} removed")
    return 0


def files() -> dict[str, bytes]:
    """Return the whole folder: file name -> content."""
    # Examples end without a newline: a file holds exactly the bytes of the message that digests are about.
    content = {f"{_name(kind)}.schema.json": _json(schema(kind)) for kind in (*STATEMENTS, *SEALED_TYPES)}
    for example in told.examples():
        content[f"{_name(type(example.statement))}.example.dsse.json"] = example.envelope()
    for kind, statement in SEALED_TYPES.items():
        content[f"{_name(kind)}.example.json"] = strict_json.encode(statement)
    content["keys.json"] = _json({key.key_id: _base64(key.public) for key in map(told.key, told.SIGNER_NAMES)})
    content["README.md"] = readme().encode("utf-8")
    return content


def schema(kind: type[msgspec.Struct]) -> Tree:
    """Return the JSON Schema of one type, with the payload type where it stands in an envelope."""
    made = cast("Tree", _readable(msgspec.json.schema(kind)))
    head: Tree = {
        "$schema": DIALECT,
        "$comment": "Written by tools/schemas.py. How to verify and parse: README.md.",
        "title": _name(kind),
        "description": inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0],
        "x-payload-bytes-max": strict_json.payload_bytes_max(kind),
    }
    if kind in STATEMENTS:
        head["x-payload-type"] = statement_type(kind)
    return {**head, **made}


def readme() -> str:
    """Return the page that explains envelopes, seals and topics, with its worked examples filled in."""
    template = string.Template(README_TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        _order_values(),
        **_seal_values(),
        table="\n".join(_statement_rows()),
        topics="\n".join(_topic_rows()),
        wrapper_bytes=f"{WRAPPER_BYTES_MAX:,}",
        signatures_max=SIGNATURES_MAX,
        depth_max=strict_json.DEPTH_MAX,
        domain=INFO_DOMAIN,
        root=topics.ROOT,
    )


def _order_values() -> dict[str, object]:
    example = next(example for example in told.examples() if isinstance(example.statement, Order))
    envelope = example.envelope()
    payload = strict_json.encode(example.statement)
    signed = pae(statement_type(Order), payload)
    (key,) = example.signers
    return {
        "order_payload": payload.decode("utf-8"),
        "order_payload_bytes": len(payload),
        "order_pae": signed.decode("utf-8"),
        "order_pae_bytes": len(signed),
        "order_pae_digest": sha256_hex(signed),
        "order_public": _base64(key.public),
        "order_keyid": key.key_id,
        "order_signature": json.loads(envelope)["signatures"][0]["sig"],
        "order_envelope_digest": sha256_hex(envelope),
    }


def _seal_values() -> dict[str, object]:
    seal = told.alert_seal()
    fields = (INFO_DOMAIN, "alert", told.DEVICE_ID, told.ALERT_ID)
    return {
        "seal_private": seal.recipient_private.hex(),
        "seal_public": seal.recipient.public.hex(),
        "seal_ephemeral": seal.ephemeral_private.hex(),
        "seal_info": seal.info.hex(),
        "seal_info_fields": ", ".join(f"{len(field)} `{field}`" for field in fields),
        "seal_shared_secret": seal.worked.shared_secret.hex(),
        "seal_key": seal.worked.key.hex(),
        "seal_base_nonce": seal.worked.base_nonce.hex(),
        "seal_enc": seal.worked.enc.hex(),
        "seal_ct_digest": sha256_hex(seal.worked.ciphertext),
        "device_private": unsealing_key("example device").private_for_examples.hex(),
        "share_a": told.share_a_seal().plaintext.hex(),
        "share_b": told.share_b_seal(told.watchlist_manifest()).plaintext.hex(),
    }


def _statement_rows() -> Iterator[str]:
    for kind in (*STATEMENTS, *SEALED_TYPES):
        name = _name(kind)
        signed = kind in STATEMENTS
        payload_type = f"`{statement_type(cast('type[Statement]', kind))}`" if signed else UNSIGNED[kind]
        example = f"{name}.example.dsse.json" if signed else f"{name}.example.json"
        links = f"[schema]({name}.schema.json), [example]({example})"
        yield f"| {name} | {payload_type} | {strict_json.payload_bytes_max(kind):,} | {links} |"


def _topic_rows() -> Iterator[str]:
    for kind, channel in topics.CHANNELS.items():
        publisher = "device" if kind in topics.FROM_DEVICE else "control room or operator"
        statement = statement_name(channel.statement) if channel.statement else "–"
        retained = "yes" if channel.retained else "no"
        expiry = f"{channel.expiry_s:,}" if channel.expiry_s else "never"
        yield f"| {kind.value} | {publisher} | {statement} | {channel.bytes_max:,} | {retained} | {expiry} |"


def _readable(node: Any) -> Any:  # noqa: ANN401  -- a JSON tree has no better type
    """Make msgspec's schema one for everybody: ECMA-262 anchors, and attribute notes beside their properties."""
    if isinstance(node, list):
        return [_readable(member) for member in node]
    if not isinstance(node, dict):
        return node
    tree = {name: _readable(member) for name, member in node.items()}
    if isinstance(tree.get("pattern"), str):
        tree["pattern"] = tree["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(tree.get("description"), str):
        notes = _attribute_notes(tree["description"])
        tree["description"] = inspect.cleandoc(tree["description"]).partition("\n\nAttributes:")[0]
        for name, note in notes.items():
            tree["properties"][name] = {**tree["properties"][name], "description": note}
    return tree


def _attribute_notes(docstring: str) -> dict[str, str]:
    """Return attribute -> note of the ``Attributes:`` section of a docstring."""
    section = inspect.cleandoc(docstring).partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(note.split()) for name, note in found}


def _name(kind: type[msgspec.Struct]) -> str:
    return statement_name(cast("type[Statement]", kind))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _json(tree: Tree) -> bytes:
    return json.dumps(tree, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


if __name__ == "__main__":
    sys.exit(main())
