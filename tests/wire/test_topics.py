"""Topics: one table, and nothing outside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvariantError, TrustError
from appliance.model.units import DeviceId
from appliance.wire.envelope import envelope_bytes_max
from appliance.wire.local import ENVELOPE_BYTES_MAX_LOCAL
from appliance.wire.statements import STATEMENTS, WatchlistManifest
from appliance.wire.topics import (
    CHANNELS,
    FROM_DEVICE,
    TO_DEVICE,
    Kind,
    alerts_filter,
    from_device_filter,
    from_device_filters,
    parse_topic,
    to_device_filter,
    to_device_filters,
    topic,
)

DEVICE = DeviceId("lamppost-017")


def matches(topic_filter: str, name: str) -> bool:
    """MQTT v5 §4.7, for the one wildcard that we use."""
    wanted, found = topic_filter.split("/"), name.split("/")
    return len(wanted) == len(found) and all(w in {"+", f} for w, f in zip(wanted, found, strict=True))


@pytest.mark.parametrize("kind", Kind)
def test_every_topic_is_read_back(kind: Kind) -> None:
    assert parse_topic(topic(DEVICE, kind)) == (DEVICE, kind)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "lamppost/v1/lamppost-017",
        "lamppost/v1/lamppost-017/",
        "lamppost/v1//order",
        "lamppost/v1/order",
        "lamppost/v2/lamppost-017/order",
        "Lamppost/v1/lamppost-017/order",
        "/lamppost/v1/lamppost-017/order",
        "lamppost/v1/lamppost-017/order/",
        "lamppost/v1/lamppost-017/order\n",
        "lamppost/v1/lamppost-017/orders",
        "lamppost/v1/lamppost-017/ORDER",
        "lamppost/v1/a/b/order",
        "lamppost/v1/+/order",
        "lamppost/v1/#",
        "lamppost/v1/lamppost 017/order",
        "lamppost/v1/../order",
        "lamppost/v1/lamppost-017\x00/order",
        "$share/group/lamppost/v1/lamppost-017/order",
        "$SYS/broker/uptime",
        "lamppost/v1/" + "a" * 65 + "/order",
        "lamppost/v1/" + "a" * 100_000 + "/order",
    ],
)
def test_any_other_topic_is_refused(text: str) -> None:
    with pytest.raises(TrustError, match="topic-unknown"):
        parse_topic(text)


@given(st.text(max_size=150) | st.text(alphabet="lampost/v1order-+#$", max_size=60))
def test_text_by_chance_is_no_topic(text: str) -> None:
    with pytest.raises(TrustError):
        parse_topic(text)


@pytest.mark.parametrize("device_id", ["", "a/b", "+", "#", "a b", "a" * 65, "-a", "a\n"])
def test_an_id_that_could_not_stand_in_a_topic_makes_none(device_id: str) -> None:
    with pytest.raises(InvariantError):
        topic(DeviceId(device_id), Kind.ORDER)


def test_every_kind_has_a_channel_and_one_direction() -> None:
    assert set(CHANNELS) == set(Kind) == FROM_DEVICE | TO_DEVICE
    assert not FROM_DEVICE & TO_DEVICE


def test_every_statement_travels_on_exactly_one_topic() -> None:
    travelling = [channel.statement for channel in CHANNELS.values() if channel.statement is not None]
    assert len(travelling) == len(set(travelling))
    assert {*travelling, WatchlistManifest} == set(STATEMENTS)  # the manifest travels inside its bundle


def test_every_channel_carries_its_greatest_envelope_and_no_more() -> None:
    for channel in CHANNELS.values():
        if channel.statement is not None:
            assert channel.bytes_max == envelope_bytes_max(channel.statement)
        assert channel.bytes_max < 268_435_455  # MQTT v5 §2.1.4
        assert channel.qos == 1


def test_everything_from_a_device_fits_a_local_datagram() -> None:
    assert all(CHANNELS[kind].bytes_max <= ENVELOPE_BYTES_MAX_LOCAL for kind in FROM_DEVICE)


def test_orders_alerts_and_authorities_are_never_retained_and_always_expire() -> None:
    for kind in (Kind.ORDER, Kind.ALERT, Kind.AUTHORITY):
        assert not CHANNELS[kind].retained
        assert CHANNELS[kind].expiry_s is not None


def test_a_device_subscribes_to_what_it_is_told_and_to_nothing_else() -> None:
    for kind in Kind:
        own = any(matches(each, topic(DEVICE, kind)) for each in to_device_filters(DEVICE))
        others = any(matches(each, topic(DeviceId("other"), kind)) for each in to_device_filters(DEVICE))
        assert (own, others) == (kind in TO_DEVICE, False)


def test_a_control_room_subscribes_to_what_devices_say_and_to_nothing_else() -> None:
    for kind in Kind:
        assert any(matches(each, topic(DEVICE, kind)) for each in from_device_filters()) == (kind in FROM_DEVICE)
        assert matches(alerts_filter(), topic(DEVICE, kind)) == (kind is Kind.ALERT)


def test_the_wide_filters_cover_one_device_and_all_devices() -> None:
    for kind in Kind:
        assert matches(to_device_filter(DEVICE), topic(DEVICE, kind))
        assert not matches(to_device_filter(DEVICE), topic(DeviceId("other"), kind))
        assert matches(from_device_filter(), topic(DEVICE, kind))
