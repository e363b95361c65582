"""The criteria of All Report that are not plain columns: cards, their holders, the batch and its file."""

import re
from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select

from payadmin.db import db
from payadmin.kernel.cards import fingerprints
from payadmin.kernel.masks import card_number_digits
from payadmin.kernel.text import NumberText, Text, _
from payadmin.models.batches import Batch, BatchKind
from payadmin.models.payments import Payment
from payadmin.views.columns import Column
from payadmin.views.filters import Active, BadAddress, Choice, Filter, begins_with, refuse_guesses

MOST_FILES = 1_000
NO_BATCH = "NONE"
_LAST4 = re.compile(r"[0-9]{4}", re.ASCII)
_FINGERPRINTS = re.compile(r"[0-9a-f]{64}(?:\.[0-9a-f]{64}){0,9}\.[0-9]{4}", re.ASCII)


class Criterion(Filter):
    """A filter under a name of its own."""

    def __init__(self, column: Column, key: str, label: str) -> None:
        super().__init__(column)
        self.key = key
        self.label = label


class CardFilter(Criterion):
    """A card: its last four digits, or the fingerprint of its number, which `card_value` makes (PY12)."""

    def read(self, values: list[str]) -> Active:
        value = values[0]
        if _LAST4.fullmatch(value):
            return Active(
                Payment.card_last4 == value, _("ends in %(digits)s", digits=value), (value,), {"last4": value}
            )
        if not _FINGERPRINTS.fullmatch(value):
            raise BadAddress(
                _("%(label)s: give the full number on the form, or the last four digits.", label=self.label)
            )
        *found, last4 = value.split(".")
        return Active(
            Payment.card_fingerprint.in_(found), _("a full number, •••%(digits)s", digits=last4), (value,), {}
        )


def card_value(typed: str, keys: Sequence[bytes]) -> str:
    """What an address holds of a card that was typed: the last four digits, or keyed fingerprints, never the number.

    Args:
        keys: the configured keys, each of which may have marked a card when its payment was stored.

    Raises:
        BadAddress: neither a card number nor four digits; what was typed is not repeated.
    """
    text = typed.strip()
    if _LAST4.fullmatch(text):
        return text
    digits = card_number_digits(text)
    if digits is None:
        raise BadAddress("Type the whole card number, or only its last four digits.")
    return ".".join([*fingerprints(keys, digits), digits[-4:]])


class HolderFilter(Criterion):
    """A card holder as on the card, or how they begin; capitals make no difference where cards use them."""

    def read(self, values: list[str]) -> Active:
        text = values[0]
        attr = self.column.attr
        if text.endswith("*"):
            start = text[:-1]
            if not start:
                raise self.refuse(text)
            refuse_guesses(self.column)
            where: ColumnElement[bool] = or_(*(begins_with(attr, spelt) for spelt in _spellings(start)))
            return Active(where, _("begins with %(text)s", text=start), (text,), {})
        return Active(attr.in_(_spellings(text)), text, (text,), {})

    begins = True


def _spellings(text: str) -> list[str]:
    """As typed, in capitals, as names are written, and as phone numbers are dialled."""
    dialled = re.sub(r"[ ()/.-]", "", text) if text[:1] in "+0123456789" else text
    return list(dict.fromkeys((text, text.upper(), text.title(), dialled)))


class FileFilter(Criterion):
    """The file of the batch that a payment came from, by its name or how it begins."""

    begins = True

    def read(self, values: list[str]) -> Active:
        text = values[0]
        prefix = text.endswith("*")
        if prefix and len(text) < 2:  # noqa: PLR2004 - at least one character before the star
            raise self.refuse(text)
        named = begins_with(Batch.file_name, text[:-1]) if prefix else Batch.file_name == text
        # Looked up first: inside the list's statement a planner could not tell how few files there are.
        ids = db.session.scalars(select(Batch.id).where(named).limit(MOST_FILES + 1)).all()
        if len(ids) > MOST_FILES:
            raise BadAddress(
                _(
                    "%(label)s: more than %(most_files)s files begin so. Type more of the name.",
                    label=self.label,
                    most_files=NumberText(MOST_FILES),
                )
            )
        return Active(
            Payment.batch_id.in_(ids), _("begins with %(text)s", text=text[:-1]) if prefix else text, (text,), {}
        )


class BatchTypeFilter(Criterion):
    """Payments of batches of one type, or of none."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        wanted = values[0]
        if wanted == NO_BATCH:
            return Active(Payment.batch_id.is_(None), "not from a batch", (wanted,), {})
        if wanted not in BatchKind.__members__:
            raise self.refuse(wanted)
        kind = BatchKind[wanted]
        of_kind = select(Batch.id).where(Batch.kind == kind)
        return Active(Payment.batch_id.in_(of_kind), kind.value, (wanted,), {})

    def choices(self) -> list[Choice]:
        return [*(Choice(kind.name, Text(kind.value)) for kind in BatchKind), Choice(NO_BATCH, _("Not from a batch"))]
