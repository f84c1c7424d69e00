"""Errors, sorted by who can mend them.

Rules of this module:
    1. The type says the remedy; the message says what was expected, what was found and what to do.
    2. No message holds a reference id, a score, a name, a template or a pixel.
    3. A refused statement always carries the rule that it broke (:class:`TrustError`), since the acknowledgement
       quotes the rule and nothing else.
"""

from __future__ import annotations


class LamppostError(Exception):
    """Base of every error that this product raises on purpose."""


class ConfigError(LamppostError):
    """A person must change a setting, a file or a command; trying again without that is useless (exit status 78)."""


class TransientError(LamppostError):
    """The outside world failed for now; the caller may try again with back-off."""


class TrustError(LamppostError):
    """A statement was unsigned, altered, stale, replayed or not allowed. Never retried; doubt ends in dormant.

    Args:
        rule: Constant, kebab-case name of the rule that failed, for example ``order-counter-not-higher``.
        message: One sentence for the log: expected and found, without anything about a person on the list.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.message = message


class InvariantError(LamppostError):
    """A bug of ours: something that the code promises did not hold. The process ends and comes back dormant."""
