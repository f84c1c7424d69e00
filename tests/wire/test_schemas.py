"""docs/schemas is up to date, and enough: its examples verify with the standard library and Ed25519 alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from keys_for_tests import MemoryUnsealingKey, unsealing_key

from appliance.wire.envelope import open_envelope
from appliance.wire.sealing import alert_info, share_a_info, share_b_info, unseal
from appliance.wire.statements import STATEMENTS, SealedAlert, statement_name, statement_type
from appliance.wire.strict_json import decode
from tools import example_statements as told
from tools import schemas

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "schemas"
NAMES = [statement_name(statement) for statement in STATEMENTS]
KEYS: dict[str, str] = json.loads((FOLDER / "keys.json").read_bytes())


def example(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((FOLDER / f"{name}.example.dsse.json").read_bytes())
    return tree


def payload(name: str) -> Any:
    return json.loads(base64.b64decode(example(name)["payload"]))


def schema(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.schema.json").read_bytes())


def test_the_folder_is_what_the_tool_would_write() -> None:
    finished = subprocess.run(
        [sys.executable, "tools/schemas.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (0, "")


def test_a_folder_that_is_out_of_date_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check = ["--check", "--folder", str(tmp_path)]
    assert schemas.main(check) == 1
    assert schemas.main(["--folder", str(tmp_path)]) == 0
    assert schemas.main(check) == 0
    (tmp_path / "order.schema.json").write_text("{}")
    (tmp_path / "left-over.schema.json").write_text("{}")
    capsys.readouterr()
    assert schemas.main(check) == 1
    assert capsys.readouterr().out.splitlines() == [
        "order.schema.json is out of date: run `make schemas`",
        "left-over.schema.json is out of date: run `make schemas`",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_verifies_without_our_code(name: str) -> None:
    envelope = example(name)
    body = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"].encode()
    assert kind.decode() == schema(name)["x-payload-type"]
    encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(body)).encode(), body])
    assert envelope["signatures"]
    for signature in envelope["signatures"]:
        public = base64.b64decode(KEYS[signature["keyid"]], validate=True)
        assert hashlib.sha256(public).hexdigest() == signature["keyid"]
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(base64.b64decode(signature["sig"], validate=True), encoded)
        with pytest.raises(InvalidSignature):
            key.verify(base64.b64decode(signature["sig"], validate=True), encoded + b" ")


@pytest.mark.parametrize("name", NAMES)
def test_the_program_on_the_page_verifies_an_example(name: str) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), scope)
    envelope = (FOLDER / f"{name}.example.dsse.json").read_bytes()
    body, signers = scope["verify"](envelope, schema(name)["x-payload-type"], KEYS)
    assert json.loads(body) == payload(name)
    assert len(signers) == {"roster": 2, "authority": 2}.get(name, 1)


@pytest.mark.parametrize("statement", STATEMENTS, ids=statement_name)
def test_an_example_opens_with_our_code(statement: Any) -> None:
    envelope = (FOLDER / f"{statement_name(statement)}.example.dsse.json").read_bytes()
    trusted = {keyid: base64.b64decode(public) for keyid, public in KEYS.items()}
    opened = open_envelope(envelope, expected=statement, trusted=trusted)  # type: ignore[arg-type]
    assert type(opened.statement) is statement


@pytest.mark.parametrize("name", [*NAMES, "sealed-alert", "watchlist-entry"])
def test_a_schema_names_its_type_closes_every_object_and_has_portable_patterns(name: str) -> None:
    tree = schema(name)
    assert tree["title"] == name
    assert tree["description"]
    assert tree["x-payload-bytes-max"] > 0
    for definition in tree["$defs"].values():
        assert definition["description"]
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False
            assert set(definition["required"]) == set(definition["properties"])
    assert "\\\\A" not in json.dumps(tree)
    assert "\\\\Z" not in json.dumps(tree)
    assert "Attributes:" not in json.dumps(tree)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_lists_the_fields_of_its_example(name: str) -> None:
    tree = schema(name)
    definition = tree["$defs"][tree["$ref"].rpartition("/")[2]]
    assert set(definition["properties"]) == set(payload(name))


def test_every_attribute_note_stands_at_its_property() -> None:
    counter = schema("order")["$defs"]["Order"]["properties"]["counter"]
    assert counter["description"] == "Higher than every counter that this device has seen from any operator."


def test_every_statement_is_there_and_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == (
        {f"{name}.schema.json" for name in (*NAMES, "sealed-alert", "watchlist-entry")}
        | {f"{name}.example.dsse.json" for name in NAMES}
        | {"sealed-alert.example.json", "watchlist-entry.example.json", "keys.json", "README.md"}
    )
    assert [schema(name)["x-payload-type"] for name in NAMES] == [statement_type(each) for each in STATEMENTS]


def test_the_examples_tell_one_story() -> None:
    manifest = base64.b64decode(example("watchlist-manifest")["payload"])
    assert payload("authority")["watchlist_digest"] == hashlib.sha256(manifest).hexdigest()
    for name, field, about in (
        ("acknowledgement", "subject_digest", "order"),
        ("receipt", "envelope_digest", "alert"),
    ):
        envelope = (FOLDER / f"{about}.example.dsse.json").read_bytes()
        assert payload(name)[field] == hashlib.sha256(envelope).hexdigest()


def test_the_seals_of_the_examples_open_with_the_keys_on_the_page() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    private = re.search(r"recipient's private key, hex \| `([0-9a-f]{64})`", page)
    assert private is not None
    room, device = MemoryUnsealingKey(bytes.fromhex(private[1])), unsealing_key("example device")
    assert device.private_for_examples.hex() in page

    inside = unseal(payload("alert")["data"]["sealed"], key=room, info=alert_info(told.DEVICE_ID, told.ALERT_ID))
    assert inside == (FOLDER / "sealed-alert.example.json").read_bytes()
    assert decode(inside, SealedAlert).alert_id == payload("alert")["id"]

    manifest = payload("watchlist-manifest")
    info_a = share_a_info(told.DEVICE_ID, manifest["watchlist_id"], manifest["version"])
    share_a = unseal(manifest["shares"][0]["sealed"], key=device, info=info_a)
    authority = payload("authority")
    info_b = share_b_info(told.DEVICE_ID, authority["authority_id"], authority["watchlist_digest"])
    share_b = unseal(authority["shares"][0]["sealed"], key=device, info=info_b)
    assert (len(share_a), len(share_b)) == (32, 32)
    assert share_a.hex() in page
    assert share_b.hex() in page
