"""What every payment provider is asked and answers, whoever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What is known about a request to move money."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"  # a definite no: no money moved
    PENDING = "pending"  # accepted, not decided yet: ask again later
    NOT_SENT = "not_sent"  # it never reached the provider, or was turned away at the door: safe to send again
    UNKNOWN = "unknown"  # anything else: money may have moved, so look it up before sending again


@dataclass(frozen=True)
class Answer:
    """One outcome and the facts that came with it; `code` and `message` say why it is not a success."""

    outcome: Outcome
    provider_id: str | None = None
    amount_minor: int | None = None
    code: str | None = None
    message: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do, and for how long its memory can be relied on."""

    void: bool
    refund: bool
    partial_refund: bool
    key_window: timedelta  # the same key is safe to send again for this long; zero where keys are not honoured
    settle: timedelta  # a look-up that finds nothing is final only this long after the last send


@dataclass(frozen=True)
class Listed:
    """One captured charge as the provider lists it."""

    provider_id: str
    reference: str
    amount_minor: int
    unit: str
    at: datetime


@dataclass(frozen=True)
class StoredCard:
    """What a provider made of a card number: a token to charge, or the sentence that says why not."""

    token: str | None
    message: str | None = None


class Provider(Protocol):
    """Moves money and answers questions about it; trouble on the way is an outcome, never an exception.

    `reference` is ours and stable for one charge, refund or void; `key` is at most 64 characters and is stored before
    the first send. A look-up answers None only when the provider itself says that there is no such thing.
    """

    @property
    def code(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def charge(
        self, *, key: str, reference: str, amount_minor: int, unit: str, token: str, metadata: Mapping[str, str]
    ) -> Answer: ...

    def refund(self, *, key: str, reference: str, charge_id: str, amount_minor: int) -> Answer: ...

    def void(self, *, key: str, reference: str, charge_id: str) -> Answer: ...

    def find_charge(self, reference: str) -> Answer | None: ...

    def find_refund(self, reference: str) -> Answer | None: ...

    def find_void(self, reference: str, charge_id: str) -> Answer | None: ...

    def list_charges(self, start: datetime, end: datetime) -> list[Listed] | None:
        """Every charge captured from `start` to before `end`; None: the provider did not answer in full."""
        ...

    def store_cards(self, numbers: Sequence[str], *, verify: bool = False) -> list[StoredCard] | None:
        """Hand card numbers over for tokens, in their order; None: the provider did not answer, and nothing is kept.

        Args:
            numbers: the card numbers, digits only.
            verify: have the issuers asked whether they accept the cards; nothing is charged.
        """
        ...

    def close(self) -> None: ...
