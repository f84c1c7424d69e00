"""A private Mosquitto on loopback, for the demonstration and the tests: a child process that goes when we go.

Rules of this module:
    1. It listens on 127.0.0.1 only, without passwords; nothing of this is a set-up for a city.
    2. It gets a configuration of its own and reads none of the machine's.
    3. It is ended by its process id. Where ``setpriv`` (util-linux) is there, the kernel ends it when the thread that
       started it is gone without having done so: start it from the main thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess  # nosec - one fixed program, no shell
from pathlib import Path

from appliance.errors import ConfigError, TransientError
from appliance.ports.clock import Clock

HOST = "127.0.0.1"
PACKET_BYTES_MAX = 64 * 1024 * 1024
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
LOG_TAIL_BYTES = 2_000

_LOOK_EVERY_S = 0.02

_CONFIGURATION = """\
listener {port} {host}
allow_anonymous true
max_packet_size {packet_bytes_max}
message_size_limit {packet_bytes_max}
max_inflight_messages {inflight_max}
max_queued_messages 10000
max_keepalive 600
persistent_client_expiration 7d
log_dest file {folder}/mosquitto.log
log_type error
log_type warning
log_type notice
persistence {persistence}
"""
_PERSISTENCE = """\
persistence_location {folder}/
persistence_file mosquitto.db
autosave_interval 1
autosave_on_changes true
"""


class Mosquitto:
    """One running broker. Made by :func:`start_mosquitto`."""

    def __init__(self, child: subprocess.Popen[bytes], *, port: int, folder: Path) -> None:
        self._child = child
        self.host = HOST
        self.port = port
        self.log_path = folder / "mosquitto.log"

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is still there."""
        return self._child.poll() is None

    def stop(self) -> None:
        """End it in good order (it saves what it keeps), or by force after ``STOP_TIMEOUT_S``. Safe to call twice."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.is_running:
            self._child.send_signal(how)
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def start_mosquitto(
    *, folder: Path, clock: Clock, port: int | None = None, persistence: bool = False, inflight_max: int = 20
) -> Mosquitto:
    """Start a broker and return once it answers on its port.

    Args:
        folder: For its configuration, log and (with ``persistence``) what it keeps. Exists, and is ours.
        clock: For the waiting.
        port: Where to listen; None: a free one.
        persistence: Keep sessions, queues and retained messages across a restart with the same folder.
        inflight_max: Unacknowledged messages towards one client.

    Raises:
        ConfigError: No Mosquitto on this machine, or the port is in use.
        TransientError: It ended or did not answer; the message quotes its log.
    """
    program = find_mosquitto()
    chosen = free_port() if port is None else port
    if not _is_free(chosen):
        raise ConfigError(f"port {chosen} on {HOST} is in use; stop what listens there or choose another port")
    folder.joinpath("mosquitto.log").touch(mode=0o600)
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        _configuration(folder=folder, port=chosen, persistence=persistence, inflight_max=inflight_max), encoding="utf-8"
    )
    child = subprocess.Popen(  # noqa: S603  # nosec
        [*_ended_with_us(), program, "-c", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    broker = Mosquitto(child, port=chosen, folder=folder)
    try:
        _wait_until_it_answers(broker, clock)
    except TransientError:
        broker.kill()
        raise
    return broker


def find_mosquitto() -> str:
    """Return the path of the broker's program; /usr/sbin is often missing from a user's PATH.

    Raises:
        ConfigError: It is not installed.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise ConfigError("Mosquitto is not installed; on Debian or Ubuntu: sudo apt-get install mosquitto")
    return found


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trying:
        trying.bind((HOST, 0))
        port: int = trying.getsockname()[1]
    return port


def _configuration(*, folder: Path, port: int, persistence: bool, inflight_max: int) -> str:
    text = _CONFIGURATION.format(
        port=port,
        host=HOST,
        packet_bytes_max=PACKET_BYTES_MAX,
        inflight_max=inflight_max,
        folder=folder,
        persistence=str(persistence).lower(),
    )
    if os.getuid() == 0:
        text += "user root\n"  # otherwise it goes on as "mosquitto" or "nobody", who cannot write our folder
    return text + (_PERSISTENCE.format(folder=folder) if persistence else "")


def _ended_with_us() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind((HOST, port))
        except OSError:
            return False
    return True


def _wait_until_it_answers(broker: Mosquitto, clock: Clock) -> None:
    deadline_ns = clock.boot_ns() + int(START_TIMEOUT_S * 1e9)
    while clock.boot_ns() < deadline_ns:
        if not broker.is_running:
            raise TransientError(f"Mosquitto ended at once; its log says: {_tail(broker.log_path)}")
        try:
            with socket.create_connection((broker.host, broker.port), timeout=1):
                return
        except OSError:
            clock.sleep(_LOOK_EVERY_S)
    raise TransientError(f"Mosquitto did not answer within {START_TIMEOUT_S} s; its log says: {_tail(broker.log_path)}")


def _tail(path: Path) -> str:
    text = path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace") if path.exists() else ""
    return " / ".join(text.split("\n")[-3:]).strip() or "nothing"
