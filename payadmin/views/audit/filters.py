"""How the trail is searched: by who, by what was done, by the data it was about; each through an index."""

import re
from typing import Any

from sqlalchemy import ColumnElement, and_, select, text

from payadmin.audit import Event
from payadmin.kernel.text import Text, _
from payadmin.models.audit import LONGEST_KEY, AuditEvent, AuditKey
from payadmin.views.changes import act_words, model_of, record_words
from payadmin.views.columns import Column
from payadmin.views.filters import Active, BadAddress, Choice, Filter, begins_with
from payadmin.views.language import say
from payadmin.views.search import MOST_MATCHES, SHORTEST_PREFIX
from payadmin.work import USE_CASES

_EVENT = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+){1,2}", re.ASCII)
_RECORD = re.compile(r"([a-z_]{1,64}):([A-Za-z0-9_.-]{1,64})", re.ASCII)


def activities() -> list[Choice]:
    """Everything that can be done and can be refused, in the order of the words."""
    names = {str(event) for event in Event} | set(USE_CASES)
    found = [Choice(name, act_words(name)) for name in names if not name.rpartition(".")[2].startswith("_")]
    return sorted(found, key=lambda choice: (choice.label, choice.value))


class ActivityFilter(Filter):
    """Any of several activities; those that the code no longer knows can still be asked for."""

    widget = "choices"
    repeatable = True

    def read(self, values: list[str]) -> Active:
        chosen = tuple(dict.fromkeys(values))
        if any(len(value) > 80 or not _EVENT.fullmatch(value) for value in chosen):  # noqa: PLR2004 - the column's
            raise BadAddress("That is no activity.")
        words = ", ".join(act_words(value) for value in chosen)
        return Active(AuditEvent.event.in_(chosen), words, chosen, {})

    def choices(self) -> list[Choice]:
        return activities()


class UserFilter(Filter):
    """Exactly this user name; what jobs and commands do is done by “system”."""

    begins = None

    def read(self, values: list[str]) -> Active:
        name = values[0].strip().lower()
        return Active(AuditEvent.actor_name == name, name, (values[0],), {})


class DataFilter(Filter):
    """Acts about this invoice number, billing number, customer, transaction ID …; a * at the end finds beginnings."""

    begins = True

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.key, self.label = "data", Text("Data")

    def read(self, values: list[str]) -> Active:
        given = values[0].strip()
        if len(given) > LONGEST_KEY or given in {"", "*"}:
            raise self.refuse(given)
        is_start = given.endswith("*")
        words = say(_("begins with %(text)s", text=given[:-1])) if is_start else given
        return Active(AuditEvent.id.in_(newest_about(given)), words, (values[0],), {})


class RecordFilter(Filter):
    """Everything about one record: `payment:17`."""

    begins = None

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.key, self.label = "record", Text("Record")

    def read(self, values: list[str]) -> Active:
        found = _RECORD.fullmatch(values[0])
        if found is None or model_of(found[1]) is None:
            raise BadAddress("A record is named by its kind and its number, such as payment:17.")
        where = and_(AuditEvent.entity == found[1], AuditEvent.entity_id == found[2])
        return Active(where, record_words(found[1], found[2]), (values[0],), {})


class OutcomeFilter(Filter):
    """How the act ended. What was not done is rare and has an index of its own."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        words = {choice.value: choice.label for choice in self.choices()}
        if values[0] not in words:
            raise self.refuse(values[0])
        where: ColumnElement[bool] = AuditEvent.outcome == values[0]
        if values[0] != "done":
            where = and_(where, text("outcome <> 'done'"))
        return Active(where, say(words[values[0]]), tuple(values), {})

    def choices(self) -> list[Choice]:
        return [Choice("done", Text("Done")), Choice("refused", Text("Refused")), Choice("failed", Text("Failed"))]


def newest_about(given: str) -> Any:
    """The numbers of the newest acts about what was typed, through the index of their keys."""
    if given.endswith("*"):
        start = given[:-1]
        where = begins_with(AuditKey.value, start) if len(start) >= SHORTEST_PREFIX else AuditKey.value == start
        return select(AuditKey.event_id).where(where).limit(MOST_MATCHES)
    found = select(AuditKey.event_id).where(AuditKey.value == given).order_by(AuditKey.event_id.desc())
    return found.limit(MOST_MATCHES)


def about_data(term: str) -> Any:
    """The search box: acts about exactly this, or about what begins so."""
    where = AuditKey.value == term
    if len(term) >= SHORTEST_PREFIX:
        where = begins_with(AuditKey.value, term)
    return select(AuditKey.event_id).where(where)


def by_user(term: str) -> Any:
    """The search box: the newest acts of this user."""
    mine = select(AuditEvent.id).where(AuditEvent.actor_name == term.lower())
    return mine.order_by(AuditEvent.at.desc(), AuditEvent.id.desc()).limit(MOST_MATCHES)
