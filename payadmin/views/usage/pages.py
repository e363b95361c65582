"""Client services and their usage: all for administrators, one's own organization's for issuers and partners."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import g
from sqlalchemy import ColumnElement, Select

from payadmin.db import db
from payadmin.kernel.text import Text, _
from payadmin.models.audit import AuditEvent
from payadmin.models.usage import ClientService, UsageDaily
from payadmin.permissions import Permission
from payadmin.queries.usage import belongs_to, is_confined, total_of, usage_of
from payadmin.views import lists
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.language import say, speech
from payadmin.views.registry import page
from payadmin.views.security import current_actor

MINE = "mine"


class MineFilter(Filter):
    """What belongs to the organization of the person signed in: so that numbers on Home lead to what they count."""

    widget = "choice"

    def __init__(self, column: Any, condition: Any) -> None:
        super().__init__(column)
        self.key, self.label = "of", Text("Belongs to")
        self.condition = condition

    def read(self, values: list[str]) -> Active:
        """The condition, for the reader."""
        if values[0] != MINE:
            raise self.refuse(values[0])
        return Active(self.condition(own_services()), say(_("my organization")), tuple(values), {})

    def choices(self) -> list[Choice]:
        """The one thing it can say."""
        return [Choice(MINE, _("My organization"))]


def own_services() -> ColumnElement[bool]:
    """The client services of the organization of the person signed in."""
    actor = current_actor()
    return belongs_to(actor.organization_id, actor.roles)


def reader_is_confined() -> bool:
    """Whether the person signed in sees their own organization only; jobs of the system see everything."""
    actor = g.get("actor")
    return actor is not None and is_confined(actor.roles)


class ConsumptionPage(PayAdminModelView):
    """What the two pages share: issuers and partners are outsiders, who see neither others' rows nor staff's acts."""

    def history_of(self, row: Any) -> Sequence[AuditEvent]:
        """The trail of the row, for those who work here."""
        return () if reader_is_confined() else super().history_of(row)


@page(menu="client-services")
class ClientServicesPage(ConsumptionPage):
    """The services whose operations are counted (S1:10)."""

    model = ClientService
    slug = "client-services"
    plural = "Client services"
    singular = "Client service"
    subtitle = "What organizations offer to their clients, and whose operations are counted."
    create = edit = Permission.USAGE_SERVICE_WRITE
    export = Permission.USAGE_SERVICE_EXPORT
    column_list = ("name", "code", "organization", "issuer", "status", "created_at")
    form_columns = ("code", "name", "organization", "issuer", "status")
    column_filters = ("status", "organization", "issuer", "created_at")
    tabs = "status"
    phone = {"name": "m1", "code": "m3", "status": "m2", "organization": "m4"}
    find_by = ("code", "name")
    detail_sections = {
        "Client service": ("name", "code", "organization", "issuer", "status", "created_at", "updated_at")
    }

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        yield from super()._filters_of(table)
        yield "of", MineFilter(self.columns["organization"], lambda services: services)

    def get_query(self) -> "Select[Any]":
        """One's own organization's, for issuers and partners."""
        scope = super().get_query()
        return scope.where(own_services()) if reader_is_confined() else scope


@page(menu="usage")
class UsagePage(ConsumptionPage):
    """How many operations client services had, by day, operation and source."""

    model = UsageDaily
    slug = "usage"
    plural = "Usage counts"
    singular = "Usage count"
    heading = "Usage"
    subtitle = "Operations of client services, as they were reported by API or by file."
    create = edit = None  # counts come from what meters them
    export = Permission.USAGE_COUNT_EXPORT
    column_list = ("day", "client_service", "operation", "operations", "source")
    column_filters = ("day", "client_service", "operation")
    column_sortable = ("day",)
    default_sort = "-day"
    phone = {"client_service": "m1", "operations": "m2", "operation": "m3", "day": "m4"}
    list_template = "usage/list.html"
    detail_sections = {
        "Usage": ("day", "client_service", "operation", "operations", "source", "created_at", "updated_at")
    }

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        yield from super()._filters_of(table)
        yield "of", MineFilter(self.columns["client_service"], usage_of)

    def get_query(self) -> "Select[Any]":
        """Those of one's own organization's services, for issuers and partners."""
        scope = super().get_query()
        return scope.where(usage_of(own_services())) if reader_is_confined() else scope

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Counts with marks between the thousands."""
        if column.key == "operations":
            grouped = speech().grouped
            return lambda row: grouped(row.operations)
        return super().cell(column, names)

    def render(self, template: str, **context: Any) -> Any:
        """The list also says what its counts come to, once it is narrowed to something worth adding up."""
        asked: lists.Request | None = context.get("asked")
        if template == self.list_template and asked is not None and asked.narrowed:
            context["total"] = total_of(db.session(), lists.narrow(asked, self.get_query()))
        return super().render(template, **context)
