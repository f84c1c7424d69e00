"""Two entries that look alike, or one person entered twice: found before the list is signed, decided by a person.

The comparison is that of the eye (cosine), so what it cannot tell apart here it would not tell apart in the street.
Two entries that look alike make each other's margin small: neither would ever be alerted on. One person entered twice
has the same effect, and a second legal basis that nobody reviewed together with the first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.errors import InvariantError
from appliance.model.frames import Floats

PAIRS_MAX = 1_000
"""Pairs that are reported, the most alike first: nobody reads more, and a list of one face would have millions."""

_ROWS_AT_ONCE = 512
_CANDIDATES_MAX = 64 * PAIRS_MAX


class LookAlike(NamedTuple):
    """Two entries, by their place in the list from 0, and the score of their most similar templates."""

    first: int
    second: int
    score: float


def look_alikes(templates: Floats, owners: NDArray[np.int32], *, threshold: float) -> list[LookAlike]:
    """Return the pairs of entries of which some two templates score at least ``threshold``, most alike first.

    Every pair of templates is compared, a block of rows at a time: 15,000 by 512 take seconds and about 40 MB.

    Args:
        templates: ``(n, dimension)`` float32 of unit length.
        owners: ``(n,)`` int32, the entry of each row; not decreasing.
        threshold: Cosine, -1 to 1; that of the deployment, or a little below it.

    Returns:
        At most ``PAIRS_MAX`` pairs with ``first < second``; each pair once.
    """
    if templates.ndim != 2 or owners.shape != (len(templates),) or np.any(np.diff(owners) < 0):
        raise InvariantError(f"templates {templates.shape} and owners {owners.shape} do not belong together")
    best: dict[tuple[int, int], float] = {}
    for start in range(0, len(templates), _ROWS_AT_ONCE):
        block = templates[start : start + _ROWS_AT_ONCE]
        scores = block @ templates[start:].T
        rows, columns = np.nonzero(scores >= threshold)
        firsts, seconds = owners[start + rows], owners[start + columns]
        others = firsts < seconds  # owners never decrease: this keeps each pair once, and drops an entry's own shots
        found = scores[rows[others], columns[others]]
        _note(best, firsts[others], seconds[others], found)
    ranked = sorted(best.items(), key=lambda pair: -pair[1])[:PAIRS_MAX]
    return [LookAlike(first, second, score) for (first, second), score in ranked]


def _note(
    best: dict[tuple[int, int], float], firsts: NDArray[np.int32], seconds: NDArray[np.int32], scores: Floats
) -> None:
    """Keep the best score of each pair; of a block with too many, its most alike."""
    order = np.argsort(-scores, kind="stable")[:_CANDIDATES_MAX]
    for first, second, score in zip(
        firsts[order].tolist(), seconds[order].tolist(), scores[order].tolist(), strict=True
    ):
        if score > best.get((first, second), -2.0):
            best[(first, second)] = score
    if len(best) > _CANDIDATES_MAX:
        kept = sorted(best.items(), key=lambda pair: -pair[1])[:PAIRS_MAX]
        best.clear()
        best.update(kept)
