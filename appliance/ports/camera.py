"""Where pictures come from."""

from __future__ import annotations

from typing import Protocol

from appliance.model.frames import FrameFormat, FrameStamp, Pixels


class EndOfSource(Exception):  # noqa: N818 - a normal end, not an error
    """The file is over. A live source never raises it."""


class FrameSource(Protocol):
    """A camera, a stream or a file that is open for as long as the object lives."""

    @property
    def format(self) -> FrameFormat:
        """Size and nominal rate; constant while the source is open."""
        ...

    def read_into(self, pixels: Pixels) -> FrameStamp:
        """Write the next frame into ``pixels`` (``(height, width, 3)`` BGR of exactly :attr:`format`'s size).

        Raises:
            EndOfSource: The file is over.
            TransientError: No frame came in time, or the source broke; close it and open another.
        """
        ...

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        ...
