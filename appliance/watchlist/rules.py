"""What a person does about each rule that may refuse a bundle: adds to the table of ``appliance.authority.rules``.

Rules of this module: those of that table. A name that both raise (an expired list, a denied category) stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BUNDLE_RULES: Mapping[str, str] = MappingProxyType(
    {
        "match-unknown-entry": "The parts of this device do not understand each other; restart it.",
        "watchlist-body-altered": "The list was damaged or altered on its way; send the original once more.",
        "watchlist-body-length": "The list was damaged, or built by something else; build it again and send it.",
        "watchlist-categories-differ": "The manifest names other categories than the entries; build the list again.",
        "watchlist-does-not-decrypt": "The two halves of the key do not fit; draft the authority with this list's own.",
        "watchlist-entries-malformed": "The entries are not JSON; build the list with this product.",
        "watchlist-entries-miscounted": "The manifest counts other entries than there are; build the list again.",
        "watchlist-entry-field-missing": "An entry lacks a field; complete it, and build the list again.",
        "watchlist-entry-malformed": "A field of an entry is not as it must be; correct it, and build the list again.",
        "watchlist-entry-not-canonical": "An entry is written in another way than ours; build it with this product.",
        "watchlist-entry-unknown-field": "An entry has a field that is not in the schema; build it with this product.",
        "watchlist-manifest-contradicts": "The manifest contradicts itself; build the list with this product.",
        "watchlist-no-issuer": "Somebody signed the list who is no watchlist issuer; an issuer signs it.",
        "watchlist-not-a-bundle": "This is not a watchlist; send the file that the build command wrote.",
        "watchlist-one-person": "Issuer and second signer are one person; another person approves those entries.",
        "watchlist-other-device": "The list has no key for this device; build it again for this device, too.",
        "watchlist-owners-wrong": "Templates and entries do not belong together; build the list with this product.",
        "watchlist-padding": "The list holds what nobody asked for; build it with this product.",
        "watchlist-reference-repeated": "A reference id stands on the list twice; correct it, and build it again.",
        "watchlist-review-overdue": "The review date of an entry is over; have it reviewed, or take it off the list.",
        "watchlist-second-signature-missing": "A second person has yet to sign for entries that need it.",
        "watchlist-second-signer-unknown": "Somebody who may not approved an entry; have another person approve it.",
        "watchlist-share-malformed": "The key of the list is damaged; build the list again.",
        "watchlist-share-other-key": "The list was built for an older key of this device; build it with a new roster.",
        "watchlist-template-not-unit": "A template is damaged, or from another model; build the list again.",
        "watchlist-trailing-bytes": "The file is longer than the list; send the original once more.",
        "watchlist-truncated": "The file was copied in part only; copy it once more.",
    }
)
"""Rule -> what to do."""
