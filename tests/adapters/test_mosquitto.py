"""A private broker: found, started, answered for, and ended by its process id."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from broker_for_tests import CLOCK, PlainClient, a_broker, wait_until

from appliance.adapters.mosquitto import HOST, find_mosquitto, free_port, start_mosquitto
from appliance.errors import ConfigError, TransientError


def test_a_port_in_use_is_a_config_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on {HOST} is in use; stop"):
            start_mosquitto(folder=tmp_path, clock=CLOCK, port=port)
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_cannot_start_says_what_its_log_says(tmp_path: Path) -> None:
    (tmp_path / "mosquitto.db").write_bytes(b"this was never written by a broker, and is long enough to be read")
    with pytest.raises(TransientError, match="its log says"):
        start_mosquitto(folder=tmp_path, clock=CLOCK, persistence=True)


def test_the_program_is_found_outside_the_path() -> None:
    assert os.access(find_mosquitto(), os.X_OK)


def test_two_free_ports_can_both_be_bound() -> None:
    for port in (free_port(), free_port()):
        with socket.create_server((HOST, port)):
            pass


def test_stopping_ends_the_process_and_frees_the_port(tmp_path: Path) -> None:
    broker = start_mosquitto(folder=tmp_path, clock=CLOCK)
    assert broker.is_running
    broker.stop()
    broker.stop()
    assert not broker.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(broker.pid, 0)
    with socket.create_server((HOST, broker.port)):
        pass


def test_with_persistence_a_retained_message_outlives_a_killed_broker(tmp_path: Path) -> None:
    with a_broker(tmp_path / "b", persistence=True) as broker:
        client = PlainClient(broker.port)
        client.publish("a/b", b"kept", retain=True)
        client.close()
        store = tmp_path / "b" / "mosquitto.db"
        wait_until(lambda: store.exists() and b"kept" in store.read_bytes())  # it saves once a second
        broker.kill()
        broker.start()
        reader = PlainClient(broker.port)
        wait_until(lambda: [m.payload for m in reader.seen] == [b"kept"])
        reader.close()
