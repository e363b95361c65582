"""User actions (S3: everything that changed anywhere) and User activity (S2: what people did, by user and by data)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from flask import request
from flask_admin import expose
from sqlalchemy import Select, inspect, select

from payadmin.actions import audit
from payadmin.db import db
from payadmin.models.audit import AuditEvent, AuditSeal
from payadmin.permissions import Permission
from payadmin.queries.audit import latest_seal
from payadmin.views import lists
from payadmin.views.audit.filters import (
    ActivityFilter,
    DataFilter,
    OutcomeFilter,
    RecordFilter,
    UserFilter,
    about_data,
    activities,
    by_user,
)
from payadmin.views.base import PayAdminModelView
from payadmin.views.changes import act_changes, act_words, keys_text, label, outcome_badge, record_cell, record_words
from payadmin.views.columns import EMPTY, LONGEST_CELL, Column, json_text
from payadmin.views.filters import DayFilter, Filter
from payadmin.views.registry import page
from payadmin.views.search import by_id
from payadmin.views.security import current_actor

_KEYS = {"at": "date"}


class TrailPage(PayAdminModelView):
    """What both pages have in common: one log, read only, and every look at it is itself written down."""

    model = AuditEvent
    singular = "Act"
    plural = "Acts"
    export = Permission.AUDIT_EVENT_EXPORT
    create = None
    edit = None
    delete = None
    column_list = ("date", "actor_name", "event", "entity", "keys", "outcome")
    column_sortable = ("date",)
    default_sort = "-date"
    search_lookups = (by_id(AuditEvent), about_data, by_user)
    phone = {"event": "m1", "outcome": "m2", "actor_name": "m3", "date": "m4"}
    list_also = ("entity_id",)
    list_template = "audit/list.html"
    details_template = "audit/details.html"

    def _refresh_cache(self) -> None:
        # “at”, “before” and “after” are arguments of every list; the last two are shown by the details only.
        self.columns = {
            _KEYS.get(key, key): replace(column, key=_KEYS.get(key, key))
            for key, column in self.columns.items()
            if key not in {"before", "after"}
        }
        super()._refresh_cache()

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:  # noqa: ARG002 - the base's signature
        found: tuple[Filter, ...] = (
            UserFilter(self.columns["actor_name"]),
            ActivityFilter(self.columns["event"]),
            DataFilter(self.columns["keys"]),
            DayFilter(self.columns["date"]),
            OutcomeFilter(self.columns["outcome"]),
            RecordFilter(self.columns["entity"]),
        )
        return ((each.key, each) for each in found)

    @expose("/")
    def index_view(self) -> Any:
        """The list; a new question to the trail is noted in it."""
        asked = lists.read(self.shape, request.args)
        if not any("." in key for key in request.args) and asked.narrowed and not (asked.after or asked.before):
            audit.note_reading(
                current_actor(), page=self.endpoint, criteria=asked.query_string(without=("size", "sort"))
            )
        return super().index_view()

    def render(self, template: str, **kwargs: Any) -> str:
        """Every template of the page may offer the activities."""
        return str(super().render(template, activities=activities, **kwargs))

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Activities, records and data in words."""
        match column.key:
            case "event":
                return lambda row: act_words(row.event)
            case "entity":
                return lambda row: record_cell(row.entity, row.entity_id) if row.entity else EMPTY
            case "keys":
                return lambda row: _cut(keys_text(row.keys)) or EMPTY
            case "outcome":
                return lambda row: outcome_badge(row.outcome)
        return super().cell(column, names)

    def describe(self, row: AuditEvent) -> str:
        """An act by its words."""
        return act_words(row.event)

    def details_context(self, row: AuditEvent) -> dict[str, Any]:
        """One act: who, when, from where, what changed, what it was about, and the seal that proves it."""
        newest = latest_seal(db.session())
        seal = None
        if newest is not None and newest.last_id >= row.id and not any(a <= row.id <= b for a, b, _ in newest.gaps()):
            covering = select(AuditSeal).where(AuditSeal.last_id >= row.id).order_by(AuditSeal.last_id).limit(1)
            seal = db.session.scalars(covering).first()
        return {
            "row": row,
            "title": self.describe(row),
            "back": self.list_address(),
            "outcome": outcome_badge(row.outcome),
            "record": record_cell(row.entity, row.entity_id),
            "record_words": record_words(row.entity, row.entity_id),
            "record_url": f"{self.address}?record={row.entity}:{row.entity_id}" if _is_named(row) else None,
            "changes": act_changes(row),
            "keys": [(label(key), json_text(value)) for key, value in (row.keys or {}).items()],
            "user_url": f"{self.address}?actor_name={row.actor_name}",
            "seal": seal,
        }


def _is_named(row: AuditEvent) -> bool:
    known = {mapper.local_table.description for mapper in inspect(AuditEvent).registry.mappers}
    return row.entity in known and bool(row.entity_id)


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST_CELL else f"{words[:LONGEST_CELL]}…"


@page(menu="user-actions")
class UserActionsPage(TrailPage):
    """Every change in every record, by people, jobs and commands."""

    slug = "user-actions"
    heading = "User actions"
    subtitle = "Every change of every record, and every act that was refused. Nothing here can be changed or deleted."


@page(menu="user-activity")
class UserActivityPage(TrailPage):
    """What people did: by user, by activity, by the data it was about (S2:48-51)."""

    slug = "user-activity"
    heading = "User activity"
    subtitle = "What people did, found by user, by activity or by the data it was about."
    list_template = "audit/activity.html"

    def get_query(self) -> "Select[Any]":
        """People only: what jobs do stands on User actions."""
        return select(AuditEvent).where(AuditEvent.actor_id.is_not(None))
