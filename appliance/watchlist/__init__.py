"""The watchlist: how it is built, signed, encrypted, and opened into secret memory. Knows no file and no network."""

from __future__ import annotations

from appliance.watchlist.building import BuiltBundle, build_bundle, seal_share_b
from appliance.watchlist.bundle import OpenedManifest, countersign_bundle, open_manifest
from appliance.watchlist.duplicates import LookAlike, look_alikes
from appliance.watchlist.gallery import Gallery, open_gallery

__all__ = [
    "BuiltBundle",
    "Gallery",
    "LookAlike",
    "OpenedManifest",
    "build_bundle",
    "countersign_bundle",
    "look_alikes",
    "open_gallery",
    "open_manifest",
    "seal_share_b",
]
