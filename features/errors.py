"""The one failure a track may have: it becomes a quarantine row with a reason."""

from typing import Literal, get_args

Reason = Literal[
    "EMPTY",
    "NOT_AUDIO",
    "TRUNCATED",
    "TOO_SHORT",
    "TOO_LONG",
    "SILENT",
    "NON_FINITE",
    "DECODE_ERROR",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
_MAX_MESSAGE = 200


class BadTrack(Exception):
    """A track that gives no features: `reason` (see REASONS) and a `message` of one short line."""

    def __init__(self, reason: Reason, message: str) -> None:
        one_line = " ".join(message.split())[:_MAX_MESSAGE]
        super().__init__(reason, one_line)
        self.reason = reason
        self.message = one_line

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
