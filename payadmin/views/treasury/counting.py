"""Counting a till, blind: what lies in it by unit, as an amount or note by note; nobody says what is expected (CA4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import flash, redirect, request, url_for
from flask_admin import expose

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.denominations import MOST_PIECES, NOTES_AND_COINS, added_up
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.money import format_minor, parse_minor
from payadmin.kernel.text import _
from payadmin.models.treasury import CashDesk, CashDeskDay, DayStatus
from payadmin.models.wallets import NOTE_LENGTH, REASON_LENGTH
from payadmin.permissions import Permission
from payadmin.queries.treasury import count_field, units_of_day
from payadmin.queries.treasury.days import desk_behind
from payadmin.views.columns import unit_scale
from payadmin.views.filters import row_id_of
from payadmin.views.language import say, speech
from payadmin.views.security import current_actor
from payadmin.views.treasury.orders import OrderPages

LONGEST_PIECES = 7


@dataclass
class Piece:
    """How many of one note or coin there are, as typed."""

    name: str
    minor: int
    label: str
    typed: str
    error: str = ""


@dataclass
class Line:
    """What was typed about one unit, and what it means.

    Attributes:
        counted_minor: None while nothing usable was typed.
    """

    unit: str
    scale: int
    name: str
    typed: str = ""
    error: str = ""
    pieces: list[Piece] = field(default_factory=list)
    counted_minor: int | None = None

    @property
    def has_pieces(self) -> bool:
        """Whether notes and coins were typed, usable or not."""
        return any(piece.typed for piece in self.pieces)

    @property
    def denominations(self) -> dict[str, int]:
        """How many of each there are in a usable count, by minor units; empty where only the sum was typed."""
        return {str(piece.minor): int(piece.typed) for piece in self.pieces if piece.typed}


@dataclass
class Count:
    """A whole count as a form has it."""

    lines: list[Line]
    words: str = ""
    words_error: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether every unit was counted."""
        return all(line.counted_minor is not None and not line.error for line in self.lines) and not self.words_error

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, by unit."""
        return {line.unit: line.counted_minor or 0 for line in self.lines}

    @property
    def denominations(self) -> dict[str, dict[str, int]] | None:
        """The notes and coins, by unit, where any were counted."""
        found = {line.unit: line.denominations for line in self.lines if line.denominations}
        return found or None


class CountPages(OrderPages):
    """The count of the own till, and of one that its cashier left open."""

    @expose("/own/count/", methods=("GET", "POST"))
    def count_view(self) -> Any:
        """Count the own till and ask for the close; whether it is as the books say is told only when it is not."""
        desk, day = self.own_day()
        if day.status is DayStatus.CLOSE_REQUESTED and request.method == "GET":
            return redirect(self.own_address)
        count = self._counted(desk, day, "note", NOTE_LENGTH)
        sentence, status, asks_note = None, 200, bool(count.words)
        if request.method == "POST":
            status = 422
            if count.is_usable:
                try:
                    treasury.request_close(
                        current_actor(),
                        day.id,
                        counts=count.counts,
                        denominations=count.denominations,
                        note=count.words or None,
                        version=row_id_of(request.form.get("version", "")) or 0,
                    )
                except (Invalid, Conflict) as refusal:
                    db.session.rollback()
                    status, sentence = refusal.status, _put(count, refusal, "note")
                    asks_note = asks_note or refusal.field == "note"
                else:
                    flash("The count is with the accountant, who closes the day.", "success")
                    return redirect(self.own_address, 303)
        return self.render(
            "treasury/count.html",
            day=day, desk=desk, count=count, sentence=sentence, asks_note=asks_note, is_forced=False,
            back=self.own_address, here=url_for(f"{self.endpoint}.count_view"), title=_("Count the till"),
            longest=NOTE_LENGTH,
        ), status  # fmt: skip

    @expose("/<int:row_id>/force/", methods=("GET", "POST"))
    def force_view(self, row_id: int) -> Any:
        """Count and close a day that its cashier left open, for a reason."""
        day: CashDeskDay = self.get_row(row_id)
        desk = desk_behind(db.session(), day)
        count = self._counted(desk, day, "reason", REASON_LENGTH)
        sentence, status = None, 200
        if request.method == "POST":
            status = 422
            if not count.words:
                count.words_error = say(_("Say why."))
            if count.is_usable:
                try:
                    treasury.force_close(
                        current_actor(),
                        row_id,
                        counts=count.counts,
                        denominations=count.denominations,
                        reason=count.words,
                        version=row_id_of(request.form.get("version", "")) or 0,
                    )
                except (Invalid, Conflict) as refusal:
                    db.session.rollback()
                    status, sentence = refusal.status, _put(count, refusal, "reason")
                else:
                    flash("The day is closed.", "success")
                    return redirect(f"{self.address}{row_id}/", 303)
        return self.render(
            "treasury/count.html",
            day=day, desk=desk, count=count, sentence=sentence, asks_note=True, is_forced=True,
            back=f"{self.address}{row_id}/", here=url_for(f"{self.endpoint}.force_view", row_id=row_id),
            title=_("Close by force"), longest=REASON_LENGTH,
        ), status  # fmt: skip

    def _counted(self, desk: CashDesk, day: CashDeskDay, words: str, longest: int) -> Count:
        """What the form says, checked; an empty form for a page that is only looked at."""
        lines = [_blank(unit) for unit in units_of_day(db.session(), day, desk)]
        if request.method != "POST":
            return Count(lines)
        for line in lines:
            _read(line, request.form)
        text = request.form.get(words, "").strip()
        problem = ""
        if len(text) > longest or not text.replace("\n", "").replace("\r", "").isprintable():
            problem = say(_("At most %(number)s characters, and none that cannot be printed.", number=longest))
        return Count(lines, text, problem)


def _blank(unit: str) -> Line:
    scale = unit_scale(unit) or 0
    pieces = [
        Piece(f"pieces_{unit}_{minor}", minor, speech().amount(minor, scale), "")
        for minor in NOTES_AND_COINS.get(unit, ())
    ]
    return Line(unit, scale, count_field(unit), pieces=pieces)


def _read(line: Line, form: Mapping[str, str]) -> None:
    """Take over what was typed about a unit: a sum, notes and coins, or both when they agree."""
    line.typed = form.get(line.name, "").strip()
    pieces: dict[int, int] = {}
    for piece in line.pieces:
        piece.typed = form.get(piece.name, "").strip()
        if not piece.typed:
            continue
        if not (piece.typed.isascii() and piece.typed.isdigit() and len(piece.typed) <= LONGEST_PIECES) or (
            int(piece.typed) > MOST_PIECES
        ):
            piece.error = line.error = say(_("Write whole numbers of notes and coins."))
            continue
        pieces[piece.minor] = int(piece.typed)
    if line.error:
        return
    summed = added_up(pieces) if pieces else None
    if not line.typed:
        if summed is None:
            line.error = say(_("Count it. Write 0 when there is none."))
        line.counted_minor = summed
        return
    try:
        typed = parse_minor(line.typed, line.scale, allow_zero=True)
    except Invalid as refusal:
        line.error = say(refusal.sentence)
        return
    if summed is not None and summed != typed:
        line.error = say(_("Notes and coins come to %(amount)s.", amount=format_minor(summed, line.scale)))
        return
    line.counted_minor = typed


def _put(count: Count, refusal: Refusal, words: str) -> str | None:
    """Put a refusal where it belongs; what belongs nowhere is the problem of the whole form."""
    if refusal.field == words:
        count.words_error = say(refusal.sentence)
        return None
    for line in count.lines:
        if refusal.field == line.name:
            line.error = say(refusal.sentence)
            return None
    return refusal.sentence


NEEDS = {"count_view": Permission.CASH_DAY_OPERATE, "force_view": Permission.CASH_DAY_DECIDE}
