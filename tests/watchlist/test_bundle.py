"""Every region of the file, tampered with: each is refused by its own rule, before anything is decrypted."""

from __future__ import annotations

import mmap
import tempfile
from typing import Any

import pytest
import watchlists_for_tests as lists
from hypothesis import given, settings
from hypothesis import strategies as st
from watchlists_for_tests import (
    BOB,
    ISSUER,
    ISSUER_SECOND_KEY,
    STRANGER,
    a_bundle,
    a_forged_bundle,
    keys_of,
    opened,
)

from appliance.errors import TrustError
from appliance.watchlist import countersign_bundle
from appliance.watchlist.bundle import HEADER_BYTES, MAGIC, assemble
from appliance.wire.envelope import sign
from appliance.wire.statements import Receipt

BUILT = a_bundle()
BUNDLE = BUILT.bundle
ENVELOPE_BYTES = int.from_bytes(BUNDLE[8:HEADER_BYTES], "big")
ENVELOPE = BUNDLE[HEADER_BYTES : HEADER_BYTES + ENVELOPE_BYTES]
BODY = BUNDLE[HEADER_BYTES + ENVELOPE_BYTES :]


def refusal(bundle: bytes, **changes: Any) -> str:
    with pytest.raises(TrustError) as caught:
        opened(bundle, **changes)
    return caught.value.rule


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_the_control_opens() -> None:
    found = opened(BUNDLE)
    assert found.statement == BUILT.manifest
    assert found.digest == BUILT.digest
    assert found.issuers == {ISSUER.key_id}
    assert bytes(found.body) == BODY
    assert found.body.readonly
    assert "watchlist-1" not in repr(found)


def test_a_mapped_file_opens_and_can_be_closed_after_a_refusal() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(BUNDLE)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            found = opened(mapped)
            assert found.digest == BUILT.digest
            found.body.release()
            with pytest.raises(TrustError) as caught:
                opened(mapped, issuers={}, second_signers={})
        assert caught.value.rule == "signer-not-trusted"


@pytest.mark.parametrize("position", range(8))
def test_another_magic_is_no_bundle(position: int) -> None:
    assert refusal(flipped(BUNDLE, position)) == "watchlist-not-a-bundle"


@pytest.mark.parametrize("bundle", [b"PK\x03\x04", b"{}", b"LAMPWL02" + BUNDLE[8:], b"\x00" * 4_096, ENVELOPE])
def test_another_kind_of_file_is_no_bundle(bundle: bytes) -> None:
    assert refusal(bundle) == "watchlist-not-a-bundle"


@pytest.mark.parametrize("length", [0, 1, 8, 11])
def test_a_file_that_ends_in_its_header_is_truncated(length: int) -> None:
    assert refusal(BUNDLE[:length]) == "watchlist-truncated"


@pytest.mark.parametrize("length", [12, 13, 200, HEADER_BYTES + ENVELOPE_BYTES - 1])
def test_a_file_that_ends_in_its_manifest_is_truncated(length: int) -> None:
    assert refusal(BUNDLE[:length]) == "watchlist-truncated"


@pytest.mark.parametrize("length", [HEADER_BYTES + ENVELOPE_BYTES, len(BUNDLE) // 2, len(BUNDLE) - 1])
def test_a_half_copied_file_is_truncated(length: int) -> None:
    assert refusal(BUNDLE[:length]) == "watchlist-truncated"


@pytest.mark.parametrize("more", [b"\x00", b"x" * 65_552, BUNDLE])
def test_a_file_with_something_behind_it_is_refused(more: bytes) -> None:
    assert refusal(BUNDLE + more) == "watchlist-trailing-bytes"


@pytest.mark.parametrize("announced", [2**32 - 1, 2**28])
def test_a_manifest_of_mad_length_is_refused_before_it_is_read(announced: int) -> None:
    assert refusal(MAGIC + announced.to_bytes(4, "big") + b"{}") == "watchlist-not-a-bundle"


@pytest.mark.parametrize("announced", [0, ENVELOPE_BYTES - 1, ENVELOPE_BYTES + 1])
def test_a_length_that_is_off_leaves_no_manifest_to_read(announced: int) -> None:
    assert refusal(MAGIC + announced.to_bytes(4, "big") + ENVELOPE + BODY) == "envelope-malformed"


def test_another_statement_is_no_manifest() -> None:
    receipt = Receipt(
        alert_id="a", device_id="d", control_room="c", envelope_digest="0" * 64, received_at_ms=lists.NOW_MS
    )
    assert refusal(assemble(sign(receipt, ISSUER), BODY)) == "envelope-wrong-type"


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, ENVELOPE_BYTES - 1), bit=st.integers(0, 7))
def test_any_altered_bit_of_the_manifest_is_refused(position: int, bit: int) -> None:
    envelope = bytearray(ENVELOPE)
    envelope[position] ^= 1 << bit
    assert refusal(assemble(bytes(envelope), BODY)) != ""


@settings(max_examples=50, deadline=None)
@given(position=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_any_altered_bit_of_the_body_is_refused_before_it_is_decrypted(position: int, bit: int) -> None:
    body = bytearray(BODY)
    body[position] ^= 1 << bit
    assert refusal(assemble(ENVELOPE, body)) == "watchlist-body-altered"


def test_the_body_of_another_list_is_refused() -> None:
    other = a_bundle(entropy=lists.CountedEntropy("other")).bundle
    assert refusal(assemble(ENVELOPE, other[-len(BODY) :])) == "watchlist-body-altered"


def test_a_list_signed_by_a_stranger_is_refused() -> None:
    assert refusal(a_bundle(issuer=STRANGER).bundle) == "signer-not-trusted"


def test_a_list_that_a_stranger_signed_besides_the_issuer_is_refused() -> None:
    assert refusal(countersign_bundle(BUNDLE, STRANGER)) == "signer-not-trusted"


def test_a_list_signed_by_a_second_signer_alone_is_refused() -> None:
    assert refusal(a_forged_bundle(signers=(BOB,)).bundle) == "watchlist-no-issuer"


def test_an_issuer_who_is_named_as_second_signer_only_is_no_issuer() -> None:
    forged = a_forged_bundle(signers=(ISSUER_SECOND_KEY,), second_signers=(ISSUER_SECOND_KEY.key_id,))
    assert refusal(forged.bundle) == "watchlist-no-issuer"


def test_a_second_signer_who_may_not_be_one_is_refused() -> None:
    forged = a_forged_bundle(second_signers=(STRANGER.key_id,))
    assert refusal(forged.bundle) == "watchlist-second-signer-unknown"
    assert refusal(forged.bundle, second_signers=keys_of()) == "watchlist-second-signer-unknown"


def test_a_second_signer_who_has_yet_to_sign_is_awaited() -> None:
    forged = a_forged_bundle(second_signers=(BOB.key_id,))
    assert refusal(forged.bundle) == "watchlist-second-signature-missing"
    opened(countersign_bundle(forged.bundle, BOB))


def test_two_keys_of_one_person_are_no_two_persons() -> None:
    forged = a_forged_bundle(signers=(ISSUER, ISSUER_SECOND_KEY), second_signers=(ISSUER_SECOND_KEY.key_id,))
    assert refusal(forged.bundle) == "watchlist-one-person"


def test_one_key_cannot_sign_twice() -> None:
    with pytest.raises(TrustError) as caught:
        countersign_bundle(BUNDLE, ISSUER)
    assert caught.value.rule == "signature-duplicate"


def test_what_is_no_bundle_cannot_be_countersigned() -> None:
    with pytest.raises(TrustError) as caught:
        countersign_bundle(b"no bundle", BOB)
    assert caught.value.rule == "watchlist-not-a-bundle"


def test_a_manifest_that_contradicts_itself_is_refused_though_an_issuer_signed_it() -> None:
    assert refusal(a_forged_bundle(body_bytes=len(BODY) + 1).bundle) == "watchlist-manifest-contradicts"
