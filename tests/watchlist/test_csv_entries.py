"""The file of entries: what is wrong is said by line and column, all at once, and without a word about anybody."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchlists_for_tests import BOB

from appliance.errors import ConfigError
from appliance.watchlist.csv_entries import COLUMNS, CSV_BYTES_MAX, parse_entries
from appliance.wire.statements import WatchlistEntry
from appliance.wire.statements.watchlist import ENTRIES_MAX

GOOD = {
    "reference_id": "ref-1",
    "category": "wanted-on-warrant",
    "legal_basis": 'Warrant, section 1, "as amended"',
    "image_source": "custody",
    "image_date": "2026-01-31",
    "justification_id": "case-17",
    "review_by": "2027-02-28",
    "under_18": "no",
    "second_signature": "",
}


def a_file(*rows: dict[str, str], columns: list[str] | None = None) -> bytes:
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, columns or list(COLUMNS))
    writer.writeheader()
    writer.writerows([GOOD | row for row in rows])
    return written.getvalue().encode()


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_entries(data)
    return str(caught.value)


def test_a_good_line_is_an_entry() -> None:
    (entry,) = parse_entries(a_file({}))
    assert entry == WatchlistEntry(
        reference_id="ref-1",
        templates=1,
        category="wanted-on-warrant",
        legal_basis='Warrant, section 1, "as amended"',
        image_source="custody",
        image_date_ms=1_769_817_600_000,  # 2026-01-31T00:00:00.000Z
        justification_id="case-17",
        review_by_ms=1_803_859_199_999,  # 2027-02-28T23:59:59.999Z
        under_18=False,
        second_signature="",
    )


def test_every_field_but_the_count_of_templates_has_a_column() -> None:
    assert {field for field, _ in COLUMNS.values()} | {"templates"} == set(WatchlistEntry.__struct_fields__)


def test_what_spreadsheets_write_is_read() -> None:
    data = a_file({}, {"reference_id": "ref-2", "legal_basis": "two\nlines"}, columns=sorted(COLUMNS))
    assert len(parse_entries(b"\xef\xbb\xbf" + data.replace(b"\r\n", b"\n") + b",,,,,,,,\n\n")) == 2
    assert len(parse_entries(data.replace(b"reference_id", b" Reference_ID "))) == 2


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "second_signature"])
def test_an_empty_cell_is_named_by_line_and_column(column: str) -> None:
    said = refusal(a_file({}, {"reference_id": "ref-2", column: "  "}))
    assert f"line 3, column {column}: is empty" in said
    assert "line 2" not in said


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("reference_id", "Jane Doe", "1 to 64 letters"),
        ("reference_id", "r" * 65, "1 to 64 letters"),
        ("category", "a/b", "1 to 64 letters"),
        ("justification_id", "-1", "1 to 64 letters"),
        ("legal_basis", "x" * 501, "1 to 500 characters"),
        ("image_date", "31.01.2026", "YYYY-MM-DD"),
        ("image_date", "2026-02-30", "YYYY-MM-DD"),
        ("image_date", "2026-1-31", "YYYY-MM-DD"),
        ("image_date", "1969-12-31", "YYYY-MM-DD"),
        ("image_date", "２０２６-01-31", "YYYY-MM-DD"),
        ("review_by", "next year", "YYYY-MM-DD"),
        ("review_by", "0000-01-01", "YYYY-MM-DD"),
        ("under_18", "0", "yes or no"),
        ("under_18", "false", "yes or no"),
        ("second_signature", "bob", "thumbprint"),
        ("second_signature", BOB.key_id[:-1], "thumbprint"),
    ],
)
def test_a_cell_that_is_not_as_it_must_be_is_named_and_not_repeated(column: str, cell: str, said: str) -> None:
    message = refusal(a_file({column: cell}))
    assert f"line 2, column {column}: expected" in message
    assert said in message
    assert cell not in message or len(cell) < 4


def test_a_child_needs_a_second_signature() -> None:
    assert "line 2, column second_signature" in refusal(a_file({"under_18": "yes"}))
    (entry,) = parse_entries(a_file({"under_18": "Yes", "second_signature": BOB.key_id.upper()}))
    assert entry.under_18
    assert entry.second_signature == BOB.key_id


def test_a_reference_that_stands_twice_is_named_by_both_lines() -> None:
    assert "line 4, column reference_id: stands in line 2, too" in refusal(a_file({}, {"reference_id": "ref-2"}, {}))


def test_lines_are_counted_as_an_editor_does() -> None:
    said = refusal(a_file({"legal_basis": "three\nlong\nlines"}, {"reference_id": ""}))
    assert "line 5, column reference_id: is empty" in said


def test_everything_that_is_wrong_is_said_at_once_up_to_a_bound() -> None:
    said = refusal(a_file({"category": "", "under_18": "?"}, *[{"reference_id": ""} for _ in range(60)]))
    assert "line 2, column category" in said
    assert "line 2, column under_18" in said
    assert "and 12 more" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (a_file(), "at least one entry"),
        (a_file({}).replace(b",", b";"), "parted by commas"),
        (a_file({}).replace(b"review_by", b"reviewed"), "columns review_by are missing"),
        (a_file({}).replace(b"review_by", b"category"), "stands twice"),
        (a_file({}).replace(b"review_by", b"name,review_by", 1), "number 7 are none of ours"),
        (a_file({}) + b"ref-2,wanted\r\n", "line 3 of the entries has 2 cells"),
        (a_file({}) + b'"ref-2,', "line 3 of the entries is not CSV"),
        (a_file({}) + b"ref\xff", "line 3 of the entries is not UTF-8"),
        (a_file({}) + b"x" * 200_000, "is not CSV"),
        (b"x" * (CSV_BYTES_MAX + 1), "are read"),
    ],
)
def test_a_file_that_is_no_list_is_refused_in_one_sentence(data: bytes, said: str) -> None:
    assert said in refusal(data)


def test_more_entries_than_a_list_holds_are_refused() -> None:
    line = a_file({}).splitlines(keepends=True)[1]
    assert f"more than {ENTRIES_MAX}" in refusal(a_file({}) + line * ENTRIES_MAX)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_our_words(data: bytes) -> None:
    refusal(data)


@given(st.lists(st.text(max_size=20), min_size=9, max_size=9))
def test_any_cells_are_an_entry_or_refused_in_our_words(cells: list[str]) -> None:
    try:
        parse_entries(a_file(dict(zip(COLUMNS, cells, strict=True))))
    except ConfigError as error:
        assert "line" in str(error)  # noqa: PT017  -- both answers are right, as long as it is one of ours
