"""The encrypted stream: whatever is altered, moved, dropped, added or cut is refused, and nothing else is."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import InvariantError, TrustError
from appliance.watchlist.body import decrypt_body, encrypt_body
from appliance.watchlist.manifest import CHUNK_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES

CIPHER = AESGCM(bytes(range(32)))
PREFIX = b"prefix!"
BOUND_TO = b"this list"
PLAIN = bytes(range(256)) * 256 + b"b" * CHUNK_BYTES + b"c" * CHUNK_BYTES + b"the end"
BODY = bytes(encrypt_body(CIPHER, prefix=PREFIX, associated_data=BOUND_TO, parts=(memoryview(PLAIN),)))
CHUNKS = [BODY[start : start + SEALED_CHUNK_BYTES] for start in range(0, len(BODY), SEALED_CHUNK_BYTES)]


def decrypted(body: bytes, size: int = len(PLAIN), **changes: object) -> bytes:
    room = bytearray(size)
    arguments = {"cipher": CIPHER, "prefix": PREFIX, "associated_data": BOUND_TO} | changes
    cipher = arguments.pop("cipher")
    assert isinstance(cipher, AESGCM)
    with memoryview(room) as view, memoryview(body) as sealed:
        decrypt_body(cipher, sealed, into=(view,), **arguments)  # type: ignore[arg-type]
    return bytes(room)


def refusal(body: bytes, size: int = len(PLAIN), **changes: object) -> str:
    with pytest.raises(TrustError) as caught:
        decrypted(body, size, **changes)
    return caught.value.rule


def test_what_was_encrypted_comes_back() -> None:
    assert decrypted(BODY) == PLAIN
    assert len(CHUNKS) == 4
    assert len(BODY) == len(PLAIN) + 4 * TAG_BYTES


def test_the_plaintext_does_not_stand_in_the_ciphertext() -> None:
    assert b"the end" not in BODY
    assert b"bbbbbbbb" not in BODY


def test_equal_chunks_do_not_look_equal() -> None:
    same = bytes(encrypt_body(CIPHER, prefix=PREFIX, associated_data=b"", parts=(memoryview(bytes(2 * CHUNK_BYTES)),)))
    assert same[:CHUNK_BYTES] != same[SEALED_CHUNK_BYTES : SEALED_CHUNK_BYTES + CHUNK_BYTES]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"".join([CHUNKS[1], CHUNKS[0], *CHUNKS[2:]]), id="two chunks swapped"),
        pytest.param(b"".join([CHUNKS[0], CHUNKS[0], *CHUNKS[2:]]), id="a chunk repeated in place of another"),
        pytest.param(b"".join([*CHUNKS[:2], CHUNKS[2][:-1] + b"\x00", CHUNKS[3]]), id="a tag altered"),
    ],
)
def test_a_stream_of_the_right_length_in_another_order_is_refused(body: bytes) -> None:
    assert refusal(body) == "watchlist-does-not-decrypt"


def test_a_chunk_dropped_or_added_or_half_gone_is_refused_by_its_length() -> None:
    for body in (BODY[:-1], BODY + b"\x00", b"".join(CHUNKS[1:]), BODY + CHUNKS[3], b"", BODY[:SEALED_CHUNK_BYTES]):
        assert refusal(body) == "watchlist-body-length"


def test_a_stream_cut_at_a_chunk_is_refused_even_by_somebody_who_expects_it_so() -> None:
    assert refusal(b"".join(CHUNKS[:3]), 3 * CHUNK_BYTES) == "watchlist-does-not-decrypt"


def test_a_stream_drawn_out_is_refused_even_by_somebody_who_expects_it_so() -> None:
    last_full = bytes(
        encrypt_body(CIPHER, prefix=PREFIX, associated_data=BOUND_TO, parts=(memoryview(PLAIN[:CHUNK_BYTES]),))
    )
    assert refusal(last_full + CHUNKS[1], 2 * CHUNK_BYTES) == "watchlist-does-not-decrypt"


def test_the_flag_of_the_last_chunk_is_part_of_the_nonce() -> None:
    not_last = CIPHER.encrypt(PREFIX + (3).to_bytes(4, "big") + b"\x00", b"the end", BOUND_TO)
    assert refusal(b"".join([*CHUNKS[:3], not_last])) == "watchlist-does-not-decrypt"
    last = CIPHER.encrypt(PREFIX + (3).to_bytes(4, "big") + b"\x01", b"the end", BOUND_TO)
    assert decrypted(b"".join([*CHUNKS[:3], last])) == PLAIN


@pytest.mark.parametrize(
    "changes",
    [{"cipher": AESGCM(bytes(32))}, {"prefix": b"prefix?"}, {"associated_data": b"that list"}],
    ids=["key", "prefix", "list"],
)
def test_another_key_prefix_or_list_is_refused(changes: dict[str, object]) -> None:
    assert refusal(BODY, **changes) == "watchlist-does-not-decrypt"


def test_parts_that_do_not_end_on_chunks_are_a_bug_of_ours() -> None:
    for parts in ((b"ab", b"c"), (b"",), (), (bytes(CHUNK_BYTES), b"")):
        with pytest.raises(InvariantError):
            encrypt_body(CIPHER, prefix=PREFIX, associated_data=b"", parts=tuple(map(memoryview, parts)))
    with pytest.raises(InvariantError):
        encrypt_body(CIPHER, prefix=b"short", associated_data=b"", parts=(memoryview(b"ab"),))


def test_after_a_refusal_nothing_holds_on_to_the_memory() -> None:
    room = bytearray(len(PLAIN))
    with memoryview(room) as view, pytest.raises(TrustError) as caught:
        decrypt_body(CIPHER, memoryview(BODY[:-1] + b"\x00"), prefix=PREFIX, associated_data=BOUND_TO, into=(view,))
    room.clear()  # BufferError, if the traceback kept a view
    assert caught.value.rule == "watchlist-does-not-decrypt"


@settings(max_examples=40, deadline=None)
@given(first=st.integers(0, 3), rest=st.integers(1, 2 * CHUNK_BYTES + 1), seed=st.integers(0, 255))
def test_any_two_parts_come_back_each_where_it_belongs(first: int, rest: int, seed: int) -> None:
    plain = [bytes([seed]) * (first * CHUNK_BYTES), bytes([seed ^ 255]) * rest]
    parts = tuple(memoryview(part) for part in plain if part)
    body = encrypt_body(CIPHER, prefix=PREFIX, associated_data=BOUND_TO, parts=parts)
    rooms = [bytearray(len(part)) for part in parts]
    decrypt_body(
        CIPHER,
        memoryview(body),
        prefix=PREFIX,
        associated_data=BOUND_TO,
        into=tuple(memoryview(room) for room in rooms),
    )
    assert [bytes(room) for room in rooms] == [bytes(part) for part in parts]


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, len(BODY) - 1), flipped=st.integers(1, 255))
def test_any_altered_byte_is_refused(position: int, flipped: int) -> None:
    body = bytearray(BODY)
    body[position] ^= flipped
    assert refusal(bytes(body)) == "watchlist-does-not-decrypt"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6).filter(lambda order: order != [0, 1, 2, 3]))
def test_any_other_sequence_of_true_chunks_is_refused(order: list[int]) -> None:
    body = b"".join(CHUNKS[index] for index in order)
    size = len(body) - TAG_BYTES * (-(-len(body) // SEALED_CHUNK_BYTES))
    assert refusal(body, size) in ("watchlist-does-not-decrypt", "watchlist-body-length")
