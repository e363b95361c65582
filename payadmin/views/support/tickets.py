"""Tickets: the list of those that the reader sees, and each with what was said, its files, and what can be done."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Response, current_app, flash, redirect, request, url_for
from flask_admin import expose

from payadmin.actions import support
from payadmin.db import db, utcnow
from payadmin.kernel.attachments import MOST_BYTES
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer
from payadmin.models.payments import Notification, Payment
from payadmin.models.support import (
    BODY_LENGTH,
    TICKET_MACHINE,
    MessageKind,
    Ticket,
    TicketPriority,
    TicketStatus,
)
from payadmin.permissions import Permission, Role
from payadmin.queries.support import family_of, files_of, messages_of, visible_to
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, enum_cell, link_cell, zone
from payadmin.views.filters import Filter, row_id_of
from payadmin.views.language import say, speech
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.search import by_id, exact, prefix, through
from payadmin.views.security import current_actor
from payadmin.views.support.filters import AssigneeFilter, QueueFilter, TeamFilter, names_of
from payadmin.views.support.shown import WRITE, client_of, takers, team_names

if TYPE_CHECKING:
    from sqlalchemy import Select

    from payadmin.config import Settings

E = TypeVar("E", bound=Enum)
S = TicketStatus
LABELS = {
    S.IN_PROGRESS: Text("Take up"),
    S.WAITING_CUSTOMER: Text("Wait for the customer"),
    S.RESOLVED: Text("Resolve"),
    S.REOPENED: Text("Reopen"),
    S.CLOSED: Text("Close for good"),
}
THEN = {
    S.WAITING_CUSTOMER: Text("wait for the customer"),
    S.IN_PROGRESS: Text("keep working on it"),
    S.RESOLVED: Text("it is resolved"),
}


def upper(term: str) -> str:
    """Numbers as they are kept."""
    return term.upper()


def lower(term: str) -> str:
    """Addresses as they are looked for."""
    return term.casefold()


@page(menu="tickets")
class TicketsPage(PayAdminModelView):
    """Requests for support: a manager sees all of them, an SCC those of their team."""

    model = Ticket
    plural = "Tickets"
    singular = "Ticket"
    subtitle = "Requests for support. The clock stops while the customer is waited for."
    create = None  # a ticket begins on the page of its customer
    edit = None
    export = Permission.SUPPORT_TICKET_EXPORT
    column_list = (
        "number", "subject", "customer", "status", "priority", "due_at", "created_at", "assignee", "team", "channel",
    )  # fmt: skip
    column_filters = ("status", "priority", "channel", "customer", "created_at")
    column_sortable = ("number", "created_at", "due_at")
    default_sort = "-created_at"
    tabs = (
        Tab("New", {"status": ("OPEN",)}),
        Tab("In hand", {"queue": ("active",)}),
        Tab("Waiting for the customer", {"status": ("WAITING_CUSTOMER",)}),
        Tab("Overdue", {"queue": ("overdue",)}),
    )
    search_lookups = (
        by_id(Ticket),
        prefix(Ticket.number, fold=upper),
        through(Ticket.customer_id, exact(Customer.email_key, fold=lower)),
        through(Ticket.customer_id, exact(Customer.external_id, fold=upper)),
    )
    list_also = ("status", "paused_at", "due_at")
    phone = {"number": "m1", "status": "m2", "subject": "m3", "due_at": "m4"}
    find_by = ("number",)
    list_template = "support/tickets.html"
    details_template = "support/ticket.html"
    detail_sections = {"Ticket": ("number", "subject", "channel", "priority", "created_at", "codeword_verified")}
    needs = {
        "say_view": WRITE,
        "move_view": WRITE,
        "rank_view": WRITE,
        "assign_view": WRITE,
        "payment_view": WRITE,
        "merge_view": WRITE,
        "file_view": WRITE,
    }

    def get_query(self) -> "Select[Any]":
        """The tickets that exist for the reader: every address of this page goes through it."""
        actor = current_actor()
        return super().get_query().where(visible_to(actor.staff_id, actor.roles))

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        yield from super()._filters_of(table)
        yield "assignee", AssigneeFilter(self.columns["assignee"])
        yield "team", TeamFilter(self.columns["team"])
        yield "queue", QueueFilter(self.columns["status"])

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Assignees by user name, whoever they work for; teams by name."""
        shown = list(shown)
        own = {"assignee", "team"}
        names = super().names_for([column for column in shown if column.key not in own], rows)
        keys = {column.key for column in shown}
        if "assignee" in keys:
            names["assignee"] = names_of({row.assignee_id for row in rows} - {None})
        if "team" in keys:
            names["team"] = team_names() if any(row.team_id for row in rows) else {}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """When it is due, or that it is late; customers lead to their page among the clients."""
        match column.key:
            case "due_at":
                return self._due_cell()
            case "customer":
                address = url_for("clients.show", customer_id=0).replace("/0/", "/{}/")
                return lambda row: link_cell(row.customer_id, names, address)
            case "assignee" | "team":
                name = column.name
                return lambda row: link_cell(getattr(row, name), names, None)
        return super().cell(column, names)

    def _due_cell(self) -> Any:
        now, when = utcnow(), ui.moment_writer(zone(), speech())

        def due(row: Any) -> Any:
            if row.paused_at is not None:
                return ui.badge("Clock stopped", "plain")
            if row.status not in (S.OPEN, S.IN_PROGRESS, S.REOPENED):
                return ui.NOTHING
            return ui.badge("Overdue", "bad") if row.due_at < now else when(row.due_at)

        return due

    # --- one ticket ---------------------------------------------------------------------------------------------------

    def describe(self, row: Ticket) -> str:
        """Its number."""
        return row.number

    def revealing(self, row: Ticket) -> None:  # noqa: ARG002 - the same for every row
        """Who the customer is, the customer's own page reveals."""
        return

    def details_context(self, row: Ticket) -> dict[str, Any]:
        """Everything that was said, with its files, and what the reader can do."""
        session, actor = db.session(), current_actor()
        family = family_of(session, row.id)
        before = row_id_of(request.args.get("before", ""))
        said = messages_of(session, family, before=before)
        mails = {each.notification_id for each in said.rows} - {None}
        other = session.get(Ticket, row.merged_into_id) if row.merged_into_id else None
        target = other if other is not None and self._sees(other.id) else None
        customer = session.get_one(Customer, row.customer_id)
        files: dict[int, Any] = files_of(session, family)
        return {
            "row": row,
            "title": row.number,
            "back": self.list_address(),
            "history": self.history_of(row),
            "client": client_of(customer),
            "can_be_mailed": customer.can_be_mailed,
            "language": customer.locale,
            "messages": said.rows,
            "is_cut": said.is_cut,
            "is_before": before is not None,
            "numbers": {each.id: each.number for each in session.query(Ticket).where(Ticket.id.in_(family))},
            "files": files,
            "mails": {each.id: each for each in session.query(Notification).where(Notification.id.in_(mails))},
            "payment": session.get(Payment, row.payment_id) if row.payment_id else None,
            "may_payment": actor.may(Permission.PAYMENTS_PAYMENT_READ),
            "target": target,
            "is_closed": row.status is S.CLOSED,
            "can_answer": row.is_active or row.status is S.WAITING_CUSTOMER,
            "moves": [(each, say(LABELS[each])) for each in S if TICKET_MACHINE.allows(row.status, each)],
            "then": [(each.name, say(words)) for each, words in THEN.items()],
            "priorities": [(each.name, say(Text(each.value))) for each in TicketPriority],
            "teams": team_names() if Role.SUPPORT_MANAGER in actor.roles else None,
            "team_name": team_names().get(row.team_id or 0),
            "takers": takers(row),
            "assignee_name": names_of({row.assignee_id} if row.assignee_id else set()).get(row.assignee_id or 0),
            "templates": [(code, say(title)) for code, title in support.template_titles()],
            "is_overdue": row.is_overdue(utcnow()),
            "state": enum_cell,
            "is_customer": lambda each: each.kind is MessageKind.CUSTOMER,
            "is_note": lambda each: each.kind is MessageKind.NOTE,
            "form_key": f"form:{secrets.token_urlsafe(18)}",
            "draft": "",
            "typed": {},
            "problem": None,
            "problem_at": "",
            "most_files": support.MOST_FILES,
            "most_bytes": MOST_BYTES,
            "most_characters": BODY_LENGTH,
        }

    def _sees(self, row_id: int) -> bool:
        return db.session.scalar(self.get_query().where(Ticket.id == row_id).with_only_columns(Ticket.id)) is not None

    def _reshow(self, row_id: int, refusal: Refusal | None = None, **kept: Any) -> Any:
        """The page once more, with what was typed and why nothing was done."""
        db.session.rollback()
        told = self.details_context(self.get_row(row_id)) | kept
        if refusal is not None:
            told |= {"problem": refusal.sentence, "problem_at": refusal.field or kept.get("problem_at", "")}
        return self.render(self.details_template, **told), refusal.status if refusal is not None else 200

    def _done(self, row_id: int, sentence: str) -> Response:
        flash(sentence, "success")
        return redirect(f"{self.address}{row_id}/", 303)  # type: ignore[return-value]

    @expose("/<int:row_id>/say/", methods=("POST",))
    def say_view(self, row_id: int) -> Any:
        """Answer, write a note, or put a ready-made answer into what is being written."""
        row = self.get_row(row_id)
        body, key = request.form.get("body", ""), request.form.get("key", "")[:100]
        if "insert" in request.form:
            customer = db.session.get_one(Customer, row.customer_id)
            ready = support.template_text(db.session(), request.form.get("template", ""), customer.locale)
            draft = "\n\n".join(part for part in (body.strip(), ready) if part)
            return self._reshow(row_id, draft=draft, form_key=key)
        files = [(file.filename or "", file.read()) for file in request.files.getlist("files") if file.filename]
        kept = {"draft": body, "form_key": key, "problem_at": "body"}
        try:
            if "note" in request.form:
                support.note_ticket(current_actor(), row_id, body=body, key=key, files=files)
                return self._done(row_id, _("The note is kept."))
            then = S.__members__.get(request.form.get("then", ""), S.WAITING_CUSTOMER)
            support.answer_ticket(current_actor(), row_id, body=body, key=key, files=files, then=then)
        except (Invalid, Conflict) as refusal:
            return self._reshow(row_id, refusal, **kept)
        return self._done(row_id, _("The answer is kept, and on its way if mail reaches the customer."))

    @expose("/<int:row_id>/move/", methods=("POST",))
    def move_view(self, row_id: int) -> Any:
        """Bring it into another state."""
        self.get_row(row_id)
        try:
            status = _member(S, "status")
            support.move_ticket(current_actor(), row_id, status=status, version=_version())
        except (Invalid, Conflict) as refusal:
            return self._reshow(row_id, refusal)
        return self._done(row_id, "Done.")

    @expose("/<int:row_id>/rank/", methods=("POST",))
    def rank_view(self, row_id: int) -> Any:
        """Give it another priority."""
        self.get_row(row_id)
        try:
            priority = _member(TicketPriority, "priority")
            support.rank_ticket(current_actor(), row_id, priority=priority, version=_version())
        except (Invalid, Conflict) as refusal:
            return self._reshow(row_id, refusal)
        return self._done(row_id, "Done.")

    @expose("/<int:row_id>/assign/", methods=("POST",))
    def assign_view(self, row_id: int) -> Any:
        """Give it to a team and to a person; an SCC leaves the team as it is."""
        row = self.get_row(row_id)
        team_id = row_id_of(request.form.get("team", "")) if "team" in request.form else row.team_id
        assignee_id = row_id_of(request.form.get("assignee", ""))
        try:
            support.assign_ticket(current_actor(), row_id, team_id=team_id, assignee_id=assignee_id, version=_version())
        except (Invalid, Conflict) as refusal:
            return self._reshow(row_id, refusal)
        if not self._sees(row_id):
            flash("Done. The ticket is another team's now.", "success")
            return redirect(self.address, 303)
        return self._done(row_id, "Done.")

    @expose("/<int:row_id>/payment/", methods=("POST",))
    def payment_view(self, row_id: int) -> Any:
        """Say which payment it is about."""
        self.get_row(row_id)
        reference = request.form.get("payment", "")[:200]
        try:
            support.link_payment(current_actor(), row_id, payment=reference, version=_version())
        except (Invalid, Conflict) as refusal:
            return self._reshow(row_id, refusal, typed={"payment": reference})
        return self._done(row_id, "Done.")

    @expose("/<int:row_id>/merge/", methods=("POST",))
    def merge_view(self, row_id: int) -> Any:
        """Have it go on as another ticket of the same customer."""
        self.get_row(row_id)
        into = request.form.get("into", "")[:40]
        try:
            target = support.merge_ticket(current_actor(), row_id, into=into, version=_version())
        except (Invalid, Conflict) as refusal:
            return self._reshow(row_id, refusal, typed={"into": into})
        return self._done(target, _("Merged: this ticket goes on for both."))

    @expose("/<int:row_id>/files/<int:file_id>/")
    def file_view(self, row_id: int, file_id: int) -> Response:
        """A file as it came, to be saved and never shown in the browser; that it was fetched stands in the trail."""
        self.get_row(row_id)
        name, media_type, stored = support.fetch_file(current_actor(), row_id, file_id=file_id)
        settings: Settings = current_app.extensions["payadmin.settings"]
        answer = Response(support.fetch(settings, stored), mimetype=media_type)
        answer.headers.set("Content-Disposition", "attachment", filename=name)
        answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def _member(members: type[E], field: str) -> E:
    """What was chosen of a list.

    Raises:
        Invalid: it is not of the list.
    """
    found = members.__members__.get(request.form.get(field, ""))
    if found is None:
        raise Invalid("Choose one of the list.", field=field)
    return found


def _version() -> int:
    return row_id_of(request.form.get("version", "")) or 0
