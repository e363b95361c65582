"""Cash desks: where they stand, who works at them, and what lies in them in each unit, live (K-24, K-52)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import flash, jsonify, redirect, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response
from wtforms import Form, HiddenField, StringField
from wtforms.validators import DataRequired, InputRequired, Length

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.models.parties import OrganizationKind
from payadmin.models.treasury import CODE_LENGTH, CashDesk, CashDeskAssignment, CashDeskDay, CashOperation
from payadmin.models.wallets import REASON_LENGTH
from payadmin.permissions import Permission, Role
from payadmin.queries.treasury import balances
from payadmin.queries.treasury.days import cashiers_at, unclosed_days
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import EMPTY, Column, Kind, unit_scale
from payadmin.views.fields import LinkField, no_cards, no_controls, put
from payadmin.views.filters import begins_with, row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import found_organizations, organization_titles
from payadmin.views.treasury.shown import amounts_by_unit, day_badge, desk_badge, operation_url, receipt_number

READ, WRITE = Permission.CASH_DESK_READ, Permission.CASH_DESK_WRITE
MOST_FOUND = 20
MOST_LIVE = 100
ASSIGNMENTS_SHOWN = 50
OPERATIONS_SHOWN = 10
DAYS_LOOKED_AT = 20
LONGEST_SEARCH = 100
LIVE = {"cashiers": _("Cashiers"), "day": _("Day"), "balances": _("In the desk")}
_LIVE_CELL = Markup('<span id="desk-{}-{}">{}</span>')


def _cashier_titles(ids: set[int]) -> dict[int, str]:
    rows = db.session.execute(select(StaffUser.id, StaffUser.username).where(StaffUser.id.in_(ids)))
    return dict(rows.all())


class DeskForm(Form):
    """What a desk is called, and whose it is."""

    code = StringField(
        "Code",
        [DataRequired("This is needed."), Length(max=CODE_LENGTH), no_controls],
        description="Capital letters, digits, dots and dashes. It stands on receipts and in the books, for good.",
        render_kw={"autocomplete": "off"},
    )
    name = StringField("Name", [DataRequired("This is needed."), Length(max=120), no_controls, no_cards])
    organization = LinkField(
        "Organization",
        [InputRequired("Choose one.")],
        titles=organization_titles,
        address=lambda: url_for("cash_desks.organizations_view"),
        description="Type the beginning of its name. Receipts name it.",
    )
    version = HiddenField()


class AssignForm(Form):
    """Who works at a desk from now on."""

    cashier = LinkField(
        "Cashier",
        [InputRequired("Choose one.")],
        titles=_cashier_titles,
        address=lambda: url_for("cash_desks.cashiers_view"),
        description="Type the beginning of the user name. A cashier works at one desk at a time.",
    )


class LockForm(Form):
    """Why a desk is locked."""

    reason = StringField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="Nothing is done at a locked desk. A day that is open can still be counted and closed.",
    )
    version = HiddenField()


@page(menu="cash-desks")
class CashDesksPage(PayAdminModelView):
    """Every desk of every organization."""

    model = CashDesk
    slug = "cash-desks"
    plural = "Cash desks"
    singular = "Cash desk"
    subtitle = "Who works where, how the day stands, and what lies in each desk. Currencies are never added up."
    create = edit = WRITE
    delete = None
    export = None  # what lies in a desk is of this moment; the reports of a day and a period are files
    column_list = ("code", "name", "organization", "status", "cashiers", "day", "balances")
    column_filters = ("status", "organization", "code", "created_at")
    column_sortable = ("code", "name", "created_at")
    default_sort = "code"
    tabs = "status"
    find_by = ("code", "name")
    phone = {"code": "m1", "balances": "m2", "name": "m3", "day": "m4"}
    list_also = ("code",)
    list_template = "treasury/desks.html"
    details_template = "treasury/desk.html"
    detail_sections = {"Cash desk": ("code", "name", "organization", "status", "created_at", "updated_at")}
    needs = {
        "live_view": READ,
        "status_view": READ,
        "organizations_view": WRITE,
        "cashiers_view": WRITE,
        "assign_view": WRITE,
        "end_view": WRITE,
        "lock_view": WRITE,
        "unlock_view": WRITE,
        "close_view": WRITE,
    }

    def _refresh_cache(self) -> None:
        # Columns that are asked of other tables and of the books, not kept.
        for key, label in LIVE.items():
            self.columns[key] = Column(key, label, Kind.TEXT, CashDesk.id, {"readonly": True})
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also who works there, how the day stands and what lies in it: one look-up each for all rows."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        keys = {column.key for column in shown}
        for key in LIVE.keys() & keys:
            names[key] = _live(key, rows)
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """What changes by itself has a name of its own, so that it can be replaced."""
        if column.key in LIVE:
            key = column.key
            return lambda row: _LIVE_CELL.format(row.id, key, names.get(row.id) or EMPTY)
        if column.key == "status":
            return lambda row: desk_badge(row.status)
        return super().cell(column, names)

    @expose("/live/")
    def live_view(self) -> str:
        """What changes in the rows of a list that is open: `ids` says which rows these are."""
        ids = [number for text in request.args.get("ids", "").split(",")[:MOST_LIVE] if (number := row_id_of(text))]
        rows = db.session.scalars(self.get_query().where(CashDesk.id.in_(ids)).order_by(CashDesk.id)).all()
        found = {key: _live(key, rows) for key in LIVE}
        cells = (_LIVE_CELL.format(row.id, key, found[key].get(row.id) or EMPTY) for row in rows for key in LIVE)
        return Markup("").join(cells)

    # --- one desk -----------------------------------------------------------------------------------------------------

    def details_context(self, row: CashDesk) -> dict[str, Any]:
        """What lies in it, its day, who worked there from when to when, and what can be done."""
        actor = current_actor()
        return super().details_context(row) | self._status(row) | {
            "assignments": _assignments(row),
            "operations": _operations(row),
            "operations_url": url_for("cash_operations.index_view", desk=row.id),
            "operation_url": operation_url,
            "receipt_number": receipt_number,
            "may_write": actor.may(WRITE),
            "state": row.status.name,
        }  # fmt: skip

    def _status(self, row: CashDesk) -> dict[str, Any]:
        session = db.session()
        day = unclosed_days(session, [row.id]).get(row.id)
        return {
            "row": row,
            "lies": sorted(balances(session, [row]).get(row.id, {}).items()),
            "scale": lambda unit: unit_scale(unit) or 0,
            "day": day,
            "day_badge": day_badge(day.status if day is not None else None),
            "day_url": url_for("cash_register_day.details_view", row_id=day.id) if day is not None else None,
        }

    @expose("/<int:row_id>/status/")
    def status_view(self, row_id: int) -> str:
        """What changes on the page of a desk."""
        return self.render("treasury/_desk.html", **self._status(self.get_row(row_id)))

    # --- forms --------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Set up a desk."""
        form = DeskForm(request.form if request.method == "POST" else None)

        def act() -> int:
            found = treasury.create_desk(
                current_actor(),
                code=str(form.code.data),
                name=str(form.name.data),
                organization_id=int(form.organization.data or 0),
            )
            return found.id

        return self._formed(form, act, title=_("New cash desk"), back=self.list_address())

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Call it something else, or give it to another organization; its code stays."""
        row = self.get_row(row_id)
        given = {"name": row.name, "organization": row.organization_id, "version": str(row.version)}
        form = DeskForm(request.form if request.method == "POST" else None, data=given)
        del form.code

        def act() -> int:
            treasury.change_desk(
                current_actor(),
                row_id,
                name=str(form.name.data),
                organization_id=int(form.organization.data or 0),
                version=row_id_of(form.version.data or "") or 0,
            )
            return row_id

        return self._formed(form, act, title=_("Edit %(desk)s", desk=row.name), back=f"{self.address}{row_id}/")

    @expose("/<int:row_id>/assign/", methods=("GET", "POST"))
    def assign_view(self, row_id: int) -> Any:
        """Let a cashier work here."""
        row = self.get_row(row_id)
        form = AssignForm(request.form if request.method == "POST" else None)

        def act() -> int:
            treasury.assign(current_actor(), row_id, cashier_id=int(form.cashier.data or 0))
            return row_id

        title = _("Assign a cashier to %(desk)s", desk=row.name)
        return self._formed(form, act, title=title, back=f"{self.address}{row_id}/", verb=Text("Assign"))

    @expose("/<int:row_id>/lock/", methods=("GET", "POST"))
    def lock_view(self, row_id: int) -> Any:
        """Let nothing more be done at it."""
        row = self.get_row(row_id)
        form = LockForm(request.form if request.method == "POST" else None, data={"version": str(row.version)})

        def act() -> int:
            treasury.lock_desk(
                current_actor(), row_id, reason=str(form.reason.data), version=row_id_of(form.version.data or "") or 0
            )
            return row_id

        title = _("Lock %(desk)s", desk=row.name)
        return self._formed(form, act, title=title, back=f"{self.address}{row_id}/", verb=Text("Lock"))

    def _formed(self, form: Form, act: Callable[[], int], *, title: str, back: str, verb: str = Text("Save")) -> Any:
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                row_id = act()
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("Saved.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        page_text = self.render(
            "treasury/form.html", form=form, fields=list(form), title=title, back=back, sentence=sentence, changed=[],
            verb=verb,
        )  # fmt: skip
        return page_text, status

    # --- acts without a form ------------------------------------------------------------------------------------------

    @expose("/<int:row_id>/end/<int:assignment_id>/", methods=("POST",))
    def end_view(self, row_id: int, assignment_id: int) -> Response:
        """End a cashier's work here."""
        self.get_row(row_id)
        found = db.session.get(CashDeskAssignment, assignment_id)
        if found is None or found.desk_id != row_id:
            raise NotFound("There is no such record.")
        return self._acted(
            row_id, lambda: treasury.end_assignment(current_actor(), assignment_id), _("The assignment ended.")
        )

    @expose("/<int:row_id>/unlock/", methods=("POST",))
    def unlock_view(self, row_id: int) -> Response:
        """Let it work again."""
        self.get_row(row_id)
        version = row_id_of(request.form.get("version", "")) or 0
        return self._acted(
            row_id, lambda: treasury.unlock_desk(current_actor(), row_id, version=version), _("The desk works again.")
        )

    @expose("/<int:row_id>/close/", methods=("POST",))
    def close_view(self, row_id: int) -> Response:
        """Close it for good."""
        self.get_row(row_id)
        version = row_id_of(request.form.get("version", "")) or 0
        return self._acted(
            row_id, lambda: treasury.close_desk(current_actor(), row_id, version=version), _("The desk is closed.")
        )

    def _acted(self, row_id: int, act: Callable[[], object], sentence: str) -> Response:
        try:
            act()
        except (Invalid, Conflict) as refusal:
            flash(refusal.sentence, "error")
        else:
            flash(sentence, "success")
        return redirect(f"{self.address}{row_id}/", 303)

    # --- look-ups -----------------------------------------------------------------------------------------------------

    @expose("/organizations/")
    def organizations_view(self) -> Response:
        """What the picker of organizations offers."""
        typed = _typed()
        return jsonify(found_organizations(typed, list(OrganizationKind)) if typed else [])

    @expose("/cashiers/")
    def cashiers_view(self) -> Response:
        """What the picker of cashiers offers: those who can sign in."""
        typed = _typed()
        if not typed:
            return jsonify([])
        cashiers = select(StaffRole.staff_id).where(StaffRole.role == Role.CASHIER)
        wanted = select(StaffUser.id, StaffUser.username).where(
            begins_with(StaffUser.username, typed), StaffUser.id.in_(cashiers), StaffUser.status == StaffStatus.ACTIVE
        )
        rows = db.session.execute(wanted.order_by(StaffUser.username).limit(MOST_FOUND))
        return jsonify([{"id": row.id, "text": row.username} for row in rows])


def _typed() -> str:
    typed = request.args.get("q", "").strip()
    return typed if len(typed) <= LONGEST_SEARCH and typed.isprintable() else ""


def _assignments(desk: CashDesk) -> Sequence[CashDeskAssignment]:
    """Who works and worked at a desk, the newest first."""
    wanted = select(CashDeskAssignment).where(CashDeskAssignment.desk_id == desk.id)
    newest = wanted.order_by(CashDeskAssignment.id.desc()).limit(ASSIGNMENTS_SHOWN)
    return db.session.scalars(newest.options(joinedload(CashDeskAssignment.cashier))).all()


def _operations(desk: CashDesk) -> Sequence[CashOperation]:
    """What was done at a desk last; its days are few beside them, and are looked through from the latest."""
    latest = select(CashDeskDay.id).where(CashDeskDay.desk_id == desk.id).order_by(CashDeskDay.id.desc())
    days = db.session.scalars(latest.limit(DAYS_LOOKED_AT)).all()
    wanted = select(CashOperation).where(CashOperation.day_id.in_(days)).order_by(CashOperation.id.desc())
    return db.session.scalars(wanted.limit(OPERATIONS_SHOWN).options(joinedload(CashOperation.day))).all()


def _live(key: str, rows: Sequence[Any]) -> dict[int, Any]:
    """One of the columns that change by themselves, by desk."""
    session, ids = db.session(), [row.id for row in rows]
    if key == "cashiers":
        return {desk_id: ", ".join(names) for desk_id, names in cashiers_at(session, ids).items()}
    if key == "day":
        days = unclosed_days(session, ids)
        return {desk_id: day_badge(days[desk_id].status if desk_id in days else None) for desk_id in ids}
    asked = [CashDesk(id=row.id, code=row.code) for row in rows]
    return {desk_id: amounts_by_unit(amounts) for desk_id, amounts in balances(session, asked).items()}
