"""Users' identification (S3:134): every customer, who waits longest first, their documents, and who is identified."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response, current_app, flash, redirect, render_template, request, url_for
from flask_admin import expose
from markupsafe import Markup, escape
from sqlalchemy import func, select
from werkzeug.datastructures import CombinedMultiDict, MultiDict

from payadmin.actions import identification
from payadmin.actions.identification.deciding import LOOK_FIRST
from payadmin.actions.identification.documents import LOOK_FIRST as LOOK_AT_IT_FIRST
from payadmin.actions.identification.links import NOT_MAILABLE
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel import watermarks
from payadmin.kernel.errors import NotFound, Refusal
from payadmin.kernel.text import Text, _, _n
from payadmin.models.audit import AuditEvent
from payadmin.models.identification import DocumentStatus, IdentityDocument, UploadLinkStatus, link_state
from payadmin.models.parties import IDENTIFICATION_MACHINE, Customer, CustomerKind, IdentificationStatus
from payadmin.permissions import Permission
from payadmin.queries import identification as queries
from payadmin.views import ui
from payadmin.views.base import HISTORY_LENGTH, PayAdminModelView
from payadmin.views.columns import Column, Kind, zone
from payadmin.views.fields import put
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.identification.forms import ConfirmForm, NeededReasonForm, RequestForm, UploadForm
from payadmin.views.language import say, speech
from payadmin.views.lists import Tab

# Before this page: links to customers lead to the page of customers.
from payadmin.views.parties import CustomersPage
from payadmin.views.registry import page
from payadmin.views.security import current_actor

DECIDE = Permission.COMPLIANCE_CASE_DECIDE
READ = Permission.COMPLIANCE_DOCUMENT_READ
ERASE = Permission.COMPLIANCE_DOCUMENT_ERASE
S = IdentificationStatus
TO_REVIEW = "to_review"

# What screens say: identified or not (KY1), and beneath it what is going on.
HINTS: Mapping[IdentificationStatus, str] = {S.IN_REVIEW: _("in review"), S.REJECTED: _("rejected")}
_WORDS: Mapping[str, tuple[str, tuple[IdentificationStatus, ...]]] = {
    "identified": (_("Identified"), (S.IDENTIFIED,)),
    "unidentified": (_("Unidentified"), (S.UNIDENTIFIED, S.IN_REVIEW, S.REJECTED)),
    "in-review": (_("In review"), (S.IN_REVIEW,)),
    "rejected": (_("Rejected"), (S.REJECTED,)),
}
TONES = {
    DocumentStatus.RECEIVED: "info",
    DocumentStatus.ACCEPTED: "ok",
    DocumentStatus.REJECTED: "bad",
    DocumentStatus.REPLACED: "plain",
}
LINK_TONES = {"Open": "info", "Used": "ok", "Revoked": "plain", "Expired": "warn"}


class IdentifiedFilter(Filter):
    """Identified or not, or where somebody stands on the way there."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        """The condition for one of the words."""
        if values[0] not in _WORDS:
            raise self.refuse(values[0])
        word, states = _WORDS[values[0]]
        return Active(Customer.identification.in_(states), say(word), tuple(values), {})

    def choices(self) -> list[Choice]:
        """Every word."""
        return [Choice(key, say(word)) for key, (word, _states) in _WORDS.items()]


@page(menu="identification")
class IdentificationPage(PayAdminModelView):
    """Every customer: identified or not, since when, and how many documents wait."""

    model = CustomersPage.model
    slug = "identification"
    plural = "Customers"
    singular = "Customer"
    heading = "Users' identification"
    subtitle = "Who is who. Whoever waits longest comes first."
    create = None
    edit = None
    delete = None
    export = None  # a list of people with their documents is taken nowhere
    column_list = ("name", "external_id", "kind", "identification", "identification_since", "status")
    column_filters = ("identification", "kind", "status")
    column_sortable = ("identification_since", "created_at")
    default_sort = "identification_since"
    labels = {"identification": "Identification", "identification_since": "Since", "status": "Account"}
    phone = {"name": "m1", "identification": "m2", "identification_since": "m3", "kind": "m4"}
    tabs = (
        Tab("To review", {"identification": ("in-review",)}),
        Tab("Unidentified", {"identification": ("unidentified",)}),
        Tab("Identified", {"identification": ("identified",)}),
    )
    list_also = ("identification",)
    details_template = "identification/customer.html"
    detail_sections = {
        "Customer": ("name", "external_id", "kind", "organization", "email", "phone", "locale", "status", "created_at"),
    }
    needs = {
        "upload_view": DECIDE,
        "identify_view": DECIDE,
        "reject_view": DECIDE,
        "revoke_view": DECIDE,
        "request_view": DECIDE,
        "show_link_view": DECIDE,
        "revoke_link_view": DECIDE,
        "document_view": READ,
        "page_view": READ,
        "download_view": READ,
        "accept_document_view": DECIDE,
        "reject_document_view": DECIDE,
        "erase_document_view": ERASE,
    }

    # --- the list -----------------------------------------------------------------------------------------------------

    def _refresh_cache(self) -> None:
        self.columns[TO_REVIEW] = Column(
            TO_REVIEW, Text("New documents"), Kind.NUMBER, Customer.id, {"readonly": True}, worked_out=_counted
        )
        super()._refresh_cache()
        self.shown = (*self.shown[:5], TO_REVIEW, *self.shown[5:])

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        for key, made in super()._filters_of(table):
            if key == "identification":
                found = IdentifiedFilter(made.column)
                found.key, found.label = key, made.label
                yield key, found
            else:
                yield key, made

    def opening(self) -> MultiDict[str, str]:
        """The queue, from where every way out leads to the whole list."""
        return MultiDict({"identification": "in-review", "view": "0"})

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also how many documents of each wait: one question for all of them."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        if any(column.key == TO_REVIEW for column in shown):
            counts = queries.count_to_review(db.session(), [row.id for row in rows])
            names[TO_REVIEW] = {row_id: speech().grouped(number) for row_id, number in counts.items()}
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Identified or not, with a hint; numbers as people read them."""
        match column.key:
            case "identification":
                return lambda row: identification_badge(row.identification)
            case "to_review":
                return lambda row: names.get(row.id, ui.NOTHING)
        return super().cell(column, names)

    def status_words(self, row: Any) -> tuple[str, str]:
        """What the search says."""
        return (_WORDS["identified" if row.identification is S.IDENTIFIED else "unidentified"][0], "plain")

    # --- one customer -------------------------------------------------------------------------------------------------

    def _related(self, row: Any) -> Iterable[Any]:  # noqa: ARG002 - what the frame calls it with
        """Nothing: this page is about documents; payments and the rest stand on the page of customers."""
        return ()

    def history_of(self, row: Any) -> Sequence[AuditEvent]:
        """What the trail says about the customer, the documents and the requests."""
        session = db.session()
        documents = [document.id for document in queries.documents_of(session, row.id)]
        links = [link.id for link in queries.links_of(session, row.id)]
        return queries.story_of(session, row.id, documents, links, HISTORY_LENGTH)

    def details_context(self, row: Customer) -> dict[str, Any]:
        """The checklist, the documents, the requests, and what can be done now."""
        session, actor, address = db.session(), current_actor(), f"{self.address}{row.id}/"
        documents = queries.documents_of(session, row.id)
        live = [document for document in documents if document.is_live]
        lines = queries.checklist(row.kind, documents)
        opened = queries.opened_by(session, actor.staff_id, [each.id for each in live], row.identification_since)
        now = utcnow()
        may = actor.may(DECIDE)
        links = queries.links_of(session, row.id)
        return super().details_context(row) | {
            "badge_of_row": identification_badge(row.identification),
            "is_identified": row.identification is S.IDENTIFIED,
            "state": row.identification.name,
            "lines": lines,
            "documents": documents,
            "opened": opened,
            "links": [(link, link_state(link, now)) for link in links],
            "link_tones": LINK_TONES,
            "needs_words": needs_words,
            "open_link": next((link for link in links if link.status is UploadLinkStatus.OPEN), None),
            "document_badge": document_badge,
            "address": address,
            "may_read": actor.may(READ),
            "may_decide": may,
            "can": {after.name: may and IDENTIFICATION_MACHINE.allows(row.identification, after) for after in S},
            "why_not": why_not_identified(lines, bool(opened)),
        }

    # --- documents ----------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/documents/new/", methods=("GET", "POST"))
    def upload_view(self, row_id: int) -> Any:
        """Files that staff have of a customer; a refusal keeps nothing."""
        row = self.get_row(row_id)
        posted = request.method == "POST"
        # Nothing but the kind is kept of a refused form: browsers do not fill in files.
        given: Any = CombinedMultiDict([request.files, request.form]) if posted else None
        form = UploadForm(given, customer=row.kind)
        status, problem = 200, None
        if posted:
            status = 422
            if form.validate():
                try:
                    number = identification.receive(current_actor(), row_id, form.sent(), settings())
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    flash("The documents are there." if number else "These files were there already.", "success")
                    return redirect(f"{self.address}{row_id}/", 303)
        row = self.get_row(row_id)
        answer = render_template(
            "identification/upload.html",
            admin_view=self,
            title=_("Add documents"),
            row_title=self.describe(row),
            form=form,
            problem=problem,
            back=f"{self.address}{row_id}/",
        )
        return answer, status

    @expose("/<int:row_id>/documents/<int:document_id>/")
    def document_view(self, row_id: int, document_id: int) -> Any:
        """One document: its pages under the reader's name, and what can be done about it."""
        row, document = self._both(row_id, document_id)
        session, actor = db.session(), current_actor()
        others = [each for each in queries.documents_of(session, row_id) if each.is_live and each.id != document_id]
        may = actor.may(DECIDE)
        seen = queries.opened_by(session, actor.staff_id, [document_id], document.created_at)
        return render_template(
            "identification/document.html",
            admin_view=self,
            row=row,
            row_title=self.describe(row),
            document=document,
            badge_of_document=document_badge(document),
            size=size_text(document.size_bytes),
            others=others,
            others_badge=document_badge,
            address=f"{self.address}{row_id}/documents/{document_id}/",
            back=f"{self.address}{row_id}/",
            is_opened=bool(seen),
            may_accept=may and row.identification is S.IDENTIFIED and document.status is DocumentStatus.RECEIVED,
            may_reject=may and document.is_live,
            may_erase=actor.may(ERASE) and document.file is not None,
            may_identify=may and IDENTIFICATION_MACHINE.allows(row.identification, S.IDENTIFIED),
        )

    @expose("/<int:row_id>/documents/<int:document_id>/pages/<int:number>/")
    def page_view(self, row_id: int, document_id: int, number: int) -> Response:
        """One page as a picture with the reader's name and the time across it; each look is written down."""
        _row, document = self._both(row_id, document_id)
        # Drawn first: a look at a file that cannot be opened is no look, and must not let anybody identify (KY2).
        drawn = [identification.page_of(settings(), str(document.file), number)] if _is_there(document, number) else []
        identification.look_at_document(current_actor(), document_id, customer_id=row_id, page=number)
        picture = watermarks.marked(drawn[0], watermark())
        name = f"document-{document_id}-page-{number}.jpg"
        return _file(picture, "image/jpeg", f'inline; filename="{name}"')

    @expose("/<int:row_id>/documents/<int:document_id>/download/", methods=("POST",))
    def download_view(self, row_id: int, document_id: int) -> Response:
        """A copy with the reader's name and the time across every page; it is written down."""
        _row, document = self._both(row_id, document_id)
        numbers = range(1, document.pages + 1) if document.file is not None else ()
        drawn = [identification.page_of(settings(), str(document.file), number) for number in numbers]
        identification.download_document(current_actor(), document_id, customer_id=row_id)
        copy, media = watermarks.as_file(drawn, watermark())
        ending = "pdf" if media == "application/pdf" else "jpg"
        return _file(copy, media, f'attachment; filename="document-{document_id}.{ending}"')

    @expose("/<int:row_id>/documents/<int:document_id>/accept/", methods=("GET", "POST"))
    def accept_document_view(self, row_id: int, document_id: int) -> Any:
        """Ask, then accept a document of somebody who is identified already."""
        _row, document = self._both(row_id, document_id)

        def act(form: Any) -> str:
            identification.accept_document(current_actor(), document_id, customer_id=row_id, version=form.seen)
            return "The document is accepted."

        effects = (_("It takes the place of the earlier one of its kind. The customer stays identified."),)
        opened = queries.opened_by(db.session(), current_actor().staff_id, [document_id], document.created_at)
        why_not = None if opened else LOOK_AT_IT_FIRST
        return self._act_page(
            row_id, ConfirmForm, act, _("Accept document"), "Accept", effects, danger=False, why_not=why_not
        )

    @expose("/<int:row_id>/documents/<int:document_id>/reject/", methods=("GET", "POST"))
    def reject_document_view(self, row_id: int, document_id: int) -> Any:
        """Ask why, then reject one document."""
        self._both(row_id, document_id)

        def act(form: Any) -> str:
            identification.reject_document(
                current_actor(), document_id, customer_id=row_id, version=form.seen, reason=form.reason.data
            )
            return "The document is rejected."

        effects = (
            _("It no longer counts for the checklist. Nothing is sent to the customer."),
            _("Its file is destroyed after %(days)s days.", days=settings().document_days),
        )
        title = _("Reject document")
        return self._act_page(row_id, NeededReasonForm, act, title, "Reject document", effects, danger=True)

    @expose("/<int:row_id>/documents/<int:document_id>/erase/", methods=("GET", "POST"))
    def erase_document_view(self, row_id: int, document_id: int) -> Any:
        """Ask why, then destroy a file for good."""
        self._both(row_id, document_id)

        def act(form: Any) -> str:
            file = identification.erase_document(
                current_actor(), document_id, customer_id=row_id, reason=form.reason.data
            )
            identification.drop(settings(), [file])
            return "The file is erased."

        effects = (
            _("The file is destroyed now and cannot be brought back. Copies in backups stay until those are deleted."),
            _("Its entry stays, with the sha256 of the original and your reason."),
        )
        title = _("Erase file")
        return self._act_page(row_id, NeededReasonForm, act, title, "Erase file", effects, danger=True)

    # --- decisions ----------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/identify/", methods=("GET", "POST"))
    def identify_view(self, row_id: int) -> Any:
        """Ask, then say that they are who they say they are."""

        def act(form: Any) -> str:
            identification.identify(current_actor(), row_id, version=form.seen)
            return "The customer is identified."

        row, session = self.get_row(row_id), db.session()
        live = queries.live_documents(session, row_id)
        opened = queries.opened_by(
            session, current_actor().staff_id, [each.id for each in live], row.identification_since
        )
        effects = (
            _("The customer becomes identified, in your name. The documents in review are accepted."),
            *(
                [_n("You have not opened %(number)s document.", "You have not opened %(number)s documents.", left)]
                if (left := len(live) - len(opened))
                else []
            ),
        )
        why_not = why_not_identified(queries.checklist(row.kind, live), bool(opened))
        title = _("Identify")
        return self._act_page(row_id, ConfirmForm, act, title, "Identify", effects, danger=False, why_not=why_not)

    @expose("/<int:row_id>/reject/", methods=("GET", "POST"))
    def reject_view(self, row_id: int) -> Any:
        """Ask why, then say that the documents do not show who they are."""

        def act(form: Any) -> str:
            identification.reject_customer(current_actor(), row_id, version=form.seen, reason=form.reason.data)
            return "The customer is rejected, and stays unidentified."

        effects = (
            _("The customer stays unidentified. Documents in review are rejected for the same reason."),
            _("A new document puts the customer into the queue again."),
        )
        return self._act_page(row_id, NeededReasonForm, act, _("Reject"), "Reject", effects, danger=True)

    @expose("/<int:row_id>/revoke/", methods=("GET", "POST"))
    def revoke_view(self, row_id: int) -> Any:
        """Ask why, then take an identification back."""

        def act(form: Any) -> str:
            identification.revoke_identification(current_actor(), row_id, version=form.seen, reason=form.reason.data)
            return "The identification is revoked."

        effects = (
            _("The customer becomes unidentified at once."),
            _("To identify again, somebody must open a document again."),
        )
        title = _("Revoke identification")
        return self._act_page(row_id, NeededReasonForm, act, title, "Revoke", effects, danger=True)

    # --- requests -----------------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/request/", methods=("GET", "POST"))
    def request_view(self, row_id: int) -> Any:
        """Ask a customer for documents."""
        row = self.get_row(row_id)
        missing = [line.need.key for line in queries.checklist(row.kind, queries.live_documents(db.session(), row_id))
                   if not line.is_met]  # fmt: skip
        told = settings()
        by_mail = bool(told.public_url) and row.can_be_mailed

        def act(form: Any) -> str:
            identification.request_documents(
                current_actor(),
                row_id,
                asked_for=form.asked_for.data,
                message=form.message.data,
                days=form.works_for.data,
                by_mail=form.by_mail.data,
                settings=settings(),
            )
            return (
                "The request is on its way by e-mail." if form.by_mail.data else "The request is made: show its link."
            )

        def form_of(formdata: Any) -> RequestForm:
            return RequestForm(formdata, customer=row.kind, data={"asked_for": missing, "by_mail": by_mail})

        effects = [
            _("The customer gets a link that works once, for sending exactly this."),
            *([_("The earlier link stops working at once.")] if queries.open_link(db.session(), row_id) else []),
            *([] if by_mail or told.public_url else [NOT_MAILABLE]),
        ]
        return self._act_page(row_id, form_of, act, _("Request documents"), "Request", effects, danger=False)

    @expose("/<int:row_id>/links/<int:link_id>/show/", methods=("POST",))
    def show_link_view(self, row_id: int, link_id: int) -> Any:
        """The link, to be handed over; that it was looked at is recorded."""
        row = self.get_row(row_id)
        told = settings()
        try:
            token = identification.show_upload_link(current_actor(), link_id, customer_id=row_id, settings=told)
        except NotFound:
            raise
        except Refusal as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/", 303)
        base = told.public_url.rstrip("/")
        path = url_for("sending.send", token=token)
        row = self.get_row(row_id)
        return render_template(
            "identification/link_shown.html",
            admin_view=self,
            row_title=self.describe(row),
            link=f"{base}{path}" if base else url_for("sending.send", token=token, _external=True),
            back=f"{self.address}{row_id}/",
        )

    @expose("/<int:row_id>/links/<int:link_id>/revoke/", methods=("POST",))
    def revoke_link_view(self, row_id: int, link_id: int) -> Any:
        """Take a request back."""
        self.get_row(row_id)
        try:
            identification.revoke_upload_link(current_actor(), link_id, customer_id=row_id)
        except NotFound:
            raise
        except Refusal as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The link is revoked: it opens nothing any more.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _both(self, row_id: int, document_id: int) -> tuple[Customer, IdentityDocument]:
        """The customer in scope, and the document if it is theirs: the number of another's opens nothing."""
        row = self.get_row(row_id)
        wanted = select(IdentityDocument).where(
            IdentityDocument.id == document_id, IdentityDocument.customer_id == row.id
        )
        known = document_id < 2**63
        found = db.session.scalars(wanted.execution_options(populate_existing=True)).one_or_none() if known else None
        if found is None:
            raise NotFound("There is no such document.")
        return row, found

    def _act_page(
        self,
        row_id: int,
        form_type: Any,
        act: Any,
        title: str,
        verb: str,
        effects: Iterable[str],
        *,
        danger: bool,
        why_not: str | None = None,
    ) -> Any:
        self.get_row(row_id)
        posted = request.method == "POST"
        form = form_type(request.form if posted else None)
        status, problem = 200, None
        if posted:
            status = 422
            if form.validate():
                try:
                    flash(act(form), "success")
                except NotFound:
                    raise
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    return redirect(f"{self.address}{row_id}/", 303)
        row = self.get_row(row_id)
        form.version.raw_data, form.version.data = None, str(row.version)
        answer = render_template(
            "identification/act.html",
            admin_view=self,
            row_title=self.describe(row),
            form=form,
            fields=[field for field in form if field.name != "version"],
            title=title,
            verb=verb,
            danger=danger,
            effects=list(effects),
            problem=problem,
            why_not=None if posted else why_not,
            back=f"{self.address}{row_id}/",
        )
        return answer, status


def identification_badge(status: IdentificationStatus) -> Markup:
    """Identified or not, and beneath it what is going on."""
    if status is S.IDENTIFIED:
        return ui.badge("Identified", "ok")
    hint = HINTS.get(status)
    tone = "warn" if status is S.IN_REVIEW else "plain"
    shown = ui.badge("Unidentified", tone)
    return shown if hint is None else shown + Markup(' <span class="cellsub">{}</span>').format(escape(say(hint)))


def document_badge(document: IdentityDocument) -> Markup:
    """Where a document stands."""
    if document.erased_at is not None:
        return ui.badge(document.status.value, TONES[document.status]) + Markup(" ") + ui.badge("File erased", "plain")
    return ui.badge(document.status.value, TONES[document.status])


def why_not_identified(lines: Iterable[queries.Line], is_opened: bool) -> str | None:
    """Why somebody cannot be identified yet, or None."""
    for line in lines:
        if not line.is_met:
            return _("Still missing: %(what)s.", what=Text(line.need.label).lower())
    return None if is_opened else LOOK_FIRST


def needs_words(kind: CustomerKind, keys: Sequence[str]) -> str:
    """What a request asks for, in words."""
    return ", ".join(say(Text(need.label)) for need in identification.asked_needs(kind, keys))


def size_text(size: int) -> str:
    """A number of bytes as people read it."""
    tenths = size * 10 // 2**20
    return f"{tenths // 10}.{tenths % 10} MB" if tenths >= 10 else f"{-(-size // 1024)} kB"  # noqa: PLR2004 - one MB


def watermark() -> str:
    """Who looks, and when."""
    now = utcnow().astimezone(zone())
    return f"{current_actor().name} · {now:%Y-%m-%d %H:%M:%S} {now:%Z}"


def settings() -> Settings:
    """What the application was told."""
    found: Settings = current_app.extensions["payadmin.settings"]
    return found


def _is_there(document: IdentityDocument, number: int) -> bool:
    return document.file is not None and 1 <= number <= document.pages


def _counted(customer_id: Any) -> Any:
    """How many documents wait, for a statement that asks for it itself."""
    return (
        select(func.count())
        .where(IdentityDocument.customer_id == customer_id, IdentityDocument.status == DocumentStatus.RECEIVED)
        .scalar_subquery()
    )


def _file(content: bytes, media: str, disposition: str) -> Response:
    """A file that can do nothing: no script, no frame, no guess at what it is, and kept by nobody."""
    answer = Response(content, content_type=media)
    answer.headers["Content-Disposition"] = disposition
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "no-store, private"
    return answer
