"""Opening entries: charges that a demo's payments were made with before the simulator was first started."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from payadmin.simulator.book import Movement

LINE_CHARGES = 500


@dataclass(frozen=True)
class OpeningCharge:
    """A charge the provider is to know as captured; `id` is what payadmin keeps as the provider's id."""

    id: str
    reference: str
    amount_minor: int
    unit: str
    captured_at: datetime


def write_opening(journal: Path, charges: Iterable[OpeningCharge]) -> None:
    """Add charges to the journal of a simulator that is not running, so that they can be refunded."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="ascii") as file:
        rest = iter(charges)
        while movements := [asdict(as_movement(charge)) for charge in islice(rest, LINE_CHARGES)]:
            file.write(json.dumps({"movements": movements, "key": None}, separators=(",", ":")) + "\n")


def as_movement(charge: OpeningCharge) -> Movement:
    at = charge.captured_at.timestamp()
    return Movement(charge.id, "charge", charge.reference, charge.amount_minor, charge.unit, at, settles_at=at)
