"""The entries of a list as people keep them: a CSV file (RFC 4180) with one person a line.

Rules of this module:
    1. The first line names the columns: exactly those of ``COLUMNS``, in any order.
    2. Dates are ``YYYY-MM-DD``: an image is of the beginning of its day (UTC), a review is due by the end of its own.
    3. ``under_18`` is ``yes`` or ``no``, never empty: nobody is grown up because a field was left out.
    4. Only ``second_signature`` may be empty, and not for a child.
    5. Everything that is wrong is said at once, by line and column. No value is repeated: it is about somebody.

How many templates an entry has is not in the file: whoever turns images into templates counts them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, get_type_hints

import msgspec

from appliance.errors import ConfigError
from appliance.wire.statements import WatchlistEntry
from appliance.wire.statements.watchlist import ENTRIES_MAX

CSV_BYTES_MAX = 64 * 2**20
FAULTS_SHOWN_MAX = 50
DAY_MS = 86_400_000

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_KINDS = get_type_hints(WatchlistEntry, include_extras=True)
_HOW_IT_IS_WRITTEN = MappingProxyType(
    {
        "reference_id": "1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        "category": "1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        "justification_id": "1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        "legal_basis": "1 to 500 characters",
        "image_source": "1 to 500 characters",
        "image_date": "a date as YYYY-MM-DD, from 1970 on",
        "review_by": "a date as YYYY-MM-DD, from 1970 on",
        "under_18": "yes or no",
        "second_signature": "the thumbprint of a key, 64 digits and letters from 0 to f, or nothing",
    }
)


def _text(cell: str) -> str:
    return cell


def _yes_or_no(cell: str) -> bool | None:
    return {"yes": True, "no": False}.get(cell.lower())


def _beginning_of_day_ms(cell: str) -> int | None:
    if not _DATE.fullmatch(cell):
        return None
    try:
        day = datetime.strptime(cell, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return (day - _EPOCH).days * DAY_MS


def _end_of_day_ms(cell: str) -> int | None:
    begins = _beginning_of_day_ms(cell)
    return None if begins is None else begins + DAY_MS - 1


COLUMNS: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "reference_id": ("reference_id", _text),
        "category": ("category", _text),
        "legal_basis": ("legal_basis", _text),
        "image_source": ("image_source", _text),
        "image_date": ("image_date_ms", _beginning_of_day_ms),
        "justification_id": ("justification_id", _text),
        "review_by": ("review_by_ms", _end_of_day_ms),
        "under_18": ("under_18", _yes_or_no),
        "second_signature": ("second_signature", str.lower),
    }
)
"""Column -> field of :class:`WatchlistEntry`, and how a cell becomes its value (None: it does not)."""


def parse_entries(data: bytes) -> tuple[WatchlistEntry, ...]:
    """Return the entries in a CSV file, each with ``templates`` 1 until somebody has counted its images.

    Args:
        data: UTF-8, with or without a byte order mark, at most ``CSV_BYTES_MAX`` bytes; columns parted by commas.

    Raises:
        ConfigError: With everything that is wrong, by line (from 1) and column.
    """
    if len(data) > CSV_BYTES_MAX:
        raise ConfigError(f"the file of entries has {len(data)} bytes; at most {CSV_BYTES_MAX} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line} of the entries is not UTF-8; save the file as 'CSV UTF-8'") from None
    entries: list[WatchlistEntry] = []
    faults: list[str] = []
    lines: dict[str, int] = {}
    for line, cells in _rows(text):
        entry, wrong = _entry(cells)
        faults += [f"line {line}, {fault}" for fault in wrong]
        earlier = lines.setdefault(cells["reference_id"], line)
        if cells["reference_id"] and earlier != line:
            faults.append(f"line {line}, column reference_id: stands in line {earlier}, too")
        if entry is not None:
            entries.append(entry)
    if faults:
        raise ConfigError(_sentence(faults))
    if not entries:
        raise ConfigError("the file of entries has no line but its first; a list has at least one entry")
    return tuple(entries)


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line that is not empty, with its cells by column."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    count = 0
    begins = 1
    try:
        for row in reader:
            line, begins = begins, reader.line_num + 1
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if names is None:
                names = _names(cells)
                continue
            if len(cells) != len(names):
                raise ConfigError(f"line {line} of the entries has {len(cells)} cells, the first has {len(names)}")
            count += 1
            if count > ENTRIES_MAX:
                raise ConfigError(f"the file has more than {ENTRIES_MAX} entries; a list holds no more")
            yield line, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise ConfigError(f"line {begins} of the entries is not CSV ({error}); mind the quotation marks") from None
    if names is None:
        raise ConfigError("the file of entries is empty; its first line names the columns: " + ", ".join(COLUMNS))


def _names(cells: list[str]) -> list[str]:
    """Return the columns as the first line names them."""
    if len(cells) == 1 and (";" in cells[0] or "\t" in cells[0]):
        raise ConfigError("the columns of the entries are not parted by commas; save the file as 'CSV UTF-8 (comma)'")
    names = [cell.lower() for cell in cells]
    missing = [name for name in COLUMNS if name not in names]
    strange = [str(place) for place, name in enumerate(names, start=1) if name not in COLUMNS]
    faults = [f"the columns {', '.join(missing)} are missing"] if missing else []
    faults += [f"the columns number {', '.join(strange)} are none of ours"] if strange else []
    faults += ["a column stands twice"] if len(set(names)) != len(names) else []
    if faults:
        raise ConfigError(f"line 1 of the entries: {'; '.join(faults)}; expected {', '.join(COLUMNS)}")
    return names


def _entry(cells: dict[str, str]) -> tuple[WatchlistEntry | None, list[str]]:
    """Return the entry, or None and what is wrong with it."""
    faults = []
    fields: dict[str, Any] = {"templates": 1}
    for column, (field, read) in COLUMNS.items():
        cell = cells[column]
        if not cell and column != "second_signature":
            faults.append(f"column {column}: is empty")
            continue
        try:
            fields[field] = msgspec.convert(read(cell), _KINDS[field], strict=True)
        except msgspec.ValidationError:
            faults.append(f"column {column}: expected {_HOW_IT_IS_WRITTEN[column]}")
    if fields.get("under_18") and not cells["second_signature"]:
        faults.append("column second_signature: is empty; a child needs a second signature")
    return (None, faults) if faults else (WatchlistEntry(**fields), [])


def _sentence(faults: list[str]) -> str:
    shown = "\n  ".join(faults[:FAULTS_SHOWN_MAX])
    more = f"\n  and {len(faults) - FAULTS_SHOWN_MAX} more" if len(faults) > FAULTS_SHOWN_MAX else ""
    return f"nothing is built until the file of entries is corrected:\n  {shown}{more}"
