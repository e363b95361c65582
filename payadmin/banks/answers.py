"""What every bank is asked and answers, whoever it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Handover(StrEnum):
    """What is known about a file that was to be given to the bank."""

    TAKEN = "taken"  # the bank has it; what it thinks of it comes as a status report
    KNOWN = "known"  # the bank had it already, from an earlier try: nothing is paid twice
    REFUSED = "refused"  # a definite no without a status report: nothing of it will be paid
    NOT_SENT = "not_sent"  # it never reached the bank, or was turned away at the door: safe to send again
    UNKNOWN = "unknown"  # anything else: the bank may have it, so it is asked before the file is sent again


@dataclass(frozen=True)
class Handed:
    """One outcome; `code` is the bank's reason or that of the trouble on the way, for staff to read."""

    outcome: Handover
    code: str | None = None


@dataclass(frozen=True)
class Mail:
    """A message as the bank holds it ready; `content` is what it wrote, unread."""

    content: bytes


class Bank(Protocol):
    """Takes payment files and gives messages; trouble on the way is an outcome, never an exception."""

    def send(self, content: bytes, *, message_id: str) -> Handed:
        """Give the bank a file; the same `message_id` is taken once, however often it is sent."""
        ...

    def messages(self) -> Sequence[Mail] | None:
        """Everything the bank holds ready for us, status reports before statements, the oldest first.

        Nothing is taken away by reading it: what a crash made us forget comes again, and is known again.

        Returns:
            None when the bank could not be asked.
        """
        ...
