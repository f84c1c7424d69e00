"""Inference with ONNX Runtime on a CPU: the embedded default, and what every test runs on.

Rules of this module:
    1. A model is loaded only after its SHA-256 is found to be the card's.
    2. Pictures go in as they lie in memory; nothing is copied, logged or kept here.
    3. :meth:`OnnxRuntimeEngine.scrub` overwrites what was returned, and looks at black pictures once so that ONNX
       Runtime writes over its own intermediate tensors. Its arena cannot be reached otherwise; that nothing of a
       frame is left afterwards is tested by reading the process's memory, and promised for one picture size only.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from appliance.errors import ConfigError, TransientError
from appliance.model.frames import Floats, Pixels
from appliance.model.model_card import ModelCard, parse_card
from appliance.model.units import Digest

BATCH_MAX = 64
THREADS_MAX = 256

_FAILURES: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
"""ONNX Runtime's own errors have no base in common but ``Exception``."""


class OnnxRuntimeEngine:
    """One prepared model, ready to run.

    Args:
        card_path: The ``NAME.json`` that ``lamppost engines prepare`` wrote; the model lies beside it.
        threads: Threads for one run, 1 to ``THREADS_MAX``.
        spin: Whether idle threads wait actively: about a sixth faster with two threads, at the price of a core's
            heat, and of whatever else wants that core.

    Raises:
        ConfigError: A file is missing, not readable, altered, or not a model of this kind.
    """

    def __init__(self, card_path: Path, *, threads: int = 1, spin: bool = False) -> None:
        if not 1 <= threads <= THREADS_MAX:
            raise ConfigError(f"threads is {threads}: expected 1 to {THREADS_MAX}")
        self._card = read_card(card_path)
        model = _checked(card_path.with_name(self._card.cpu.file), self._card.cpu.sha256)
        self._session = _session(model, self._card, threads=threads, spin=spin)
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        if sorted(self._names) != sorted(self._card.outputs):
            raise ConfigError(f"{self._card.cpu.file} has other outputs than its card; run: lamppost engines prepare")
        self._given: list[Floats] = []
        self._largest: tuple[int, ...] = ()

    @property
    def card(self) -> ModelCard:
        """What is known about the model."""
        return self._card

    @property
    def digest(self) -> Digest:
        """SHA-256 of the model as published."""
        return self._card.digest

    def run(self, images: Pixels) -> dict[str, Floats]:
        """Return every output by name; see :class:`appliance.ports.inference.InferenceEngine`."""
        self._check(images)
        self._largest = max(self._largest, images.shape, key=math.prod)
        self._given = self._infer(images)
        return dict(zip(self._names, self._given, strict=True))

    def scrub(self) -> None:
        """Overwrite what the last run returned, and what ONNX Runtime kept of it; takes as long as a run."""
        for output in self._given:
            output.fill(0)
        self._given = []
        if self._largest:
            self._infer(np.zeros(self._largest, np.uint8))
            self._largest = ()

    def _infer(self, images: Pixels) -> list[Floats]:
        try:
            outputs: list[Floats] = self._session.run(self._names, {self._input: images})
        except _FAILURES as error:
            raise TransientError(f"{self._card.name} failed in ONNX Runtime ({type(error).__name__})") from error
        return outputs

    def _check(self, images: Pixels) -> None:
        size = self._card.size
        wanted = f"(n, {size.height or 'height'}, {size.width or 'width'}, 3) uint8"
        fits = (
            images.ndim == 4
            and images.dtype == np.uint8
            and images.shape[3] == 3
            and size.height in (0, images.shape[1])
            and size.width in (0, images.shape[2])
            and min(images.shape) > 0
        )
        if not fits:
            raise ConfigError(f"{self._card.name} takes {wanted}; found {images.shape} {images.dtype}")
        if len(images) > BATCH_MAX:
            raise ConfigError(f"{self._card.name} takes at most {BATCH_MAX} pictures at once; found {len(images)}")


def read_card(card_path: Path) -> ModelCard:
    """Return the card in a file.

    Raises:
        ConfigError: It is missing, not readable or contradicts itself.
    """
    return parse_card(_read(card_path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); run: lamppost engines prepare") from error


def _checked(path: Path, expected: str) -> bytes:
    """Return the model's bytes, the very ones that were compared with the card."""
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ConfigError(
            f"{path} has SHA-256 {found}, but its card says {expected}: the file was changed; "
            "run: lamppost engines prepare"
        )
    return content


def _session(model: bytes, card: ModelCard, *, threads: int, spin: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise ConfigError(f"ONNX Runtime cannot load {card.cpu.file} ({type(error).__name__})") from error
