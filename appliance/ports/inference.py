"""A neural network that somebody else runs: TensorRT on the Jetson, ONNX Runtime anywhere, a double in tests."""

from __future__ import annotations

from typing import Protocol

from appliance.model.frames import Floats, Pixels
from appliance.model.units import Digest


class InferenceEngine(Protocol):
    """One model with one image batch as input.

    The prepared models of ``trt_engines`` take ``(n, height, width, 3)`` uint8 BGR pictures as they lie in memory:
    layout, type, colour order, mean, scale and padding are dealt with inside the graph, where that is cheapest.
    """

    @property
    def digest(self) -> Digest:
        """SHA-256 of the *source* model named in the manifest: what templates and calibrations are bound to."""
        ...

    def run(self, images: Pixels) -> dict[str, Floats]:
        """Return every output by name, each with ``n`` as first axis, valid until the next call.

        Args:
            images: ``(n, height, width, 3)`` uint8 BGR, C-contiguous, of the size on the model's card (any, for a detector).

        Raises:
            ConfigError: The shape does not fit the model.
            TransientError: The engine failed; it must be built anew.
        """
        ...

    def scrub(self) -> None:
        """Overwrite every buffer that holds pixels or features."""
        ...
