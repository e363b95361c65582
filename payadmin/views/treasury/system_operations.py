"""System operations: what waits for whom first, then all of them; initiated, decided, taken back, acknowledged."""

from typing import TYPE_CHECKING, Any, Final

from flask import Flask, flash, redirect, request
from flask_admin import expose
from sqlalchemy import func, literal, or_, select
from wtforms import Form, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired, Length

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.money import MAX_SCALE
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffUser
from payadmin.models.payments import UnitKind
from payadmin.models.treasury import (
    CashDesk,
    CashDeskAssignment,
    CashSource,
    DeskStatus,
    SystemKind,
    SystemOperation,
    SystemStatus,
)
from payadmin.models.wallets import NOTE_LENGTH, REASON_LENGTH
from payadmin.permissions import Permission
from payadmin.queries.approvals import person_of
from payadmin.queries.treasury import balances, transit
from payadmin.views import shell
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import enum_cell, money_text, unit_scale
from payadmin.views.fields import EnumField, MoneyField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.ledger.words import journals_about
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import unit_choices
from payadmin.views.wallets.shown import KeyField

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue
    from sqlalchemy import ColumnElement, Select

PAGE: Final = "system-operations"
INITIATE, CONFIRM = Permission.CASH_OPERATION_INITIATE, Permission.CASH_OPERATION_CONFIRM
READ, OPERATE = Permission.CASH_OPERATION_READ, Permission.CASH_DAY_OPERATE
S = SystemStatus
MOST_SHOWN: Final = 20
MOST_DESKS: Final = 200
MENU_MOST: Final = 99
# What a form is called by in addresses.
KINDS: Final = {
    "cash-input": SystemKind.CASH_INPUT,
    "cash-collection": SystemKind.CASH_COLLECTION,
    "investment": SystemKind.INVESTMENT,
}
ABOUT: Final = {
    SystemKind.CASH_INPUT: _("Cash from the bank or from the owner becomes money in transit."),
    SystemKind.CASH_COLLECTION: _("Cash is taken from a desk and becomes money in transit."),
    SystemKind.INVESTMENT: _("A desk gets cash out of the money in transit."),
}
TITLES: Final = {
    SystemKind.CASH_INPUT: _("New cash input"),
    SystemKind.CASH_COLLECTION: _("New cash collection"),
    SystemKind.INVESTMENT: _("New investment"),
}
DECISIONS: Final = {
    "confirm": (_("Confirm"), _("Confirm and book it"), False),
    "reject": (_("Reject"), _("Reject"), True),
    "cancel": (_("Cancel"), _("Cancel the operation"), True),
    "reverse": (_("Take back"), _("Ask for it to be taken back"), True),
}


class OperationForm(Form):
    """What is to be moved; which desk or which source, as the kind asks."""

    desk = SelectField("Desk", [InputRequired("Choose one.")])
    source = EnumField("From", [InputRequired("Choose one.")], members=CashSource, blank=True)
    unit = SelectField("Currency", [InputRequired("Choose one.")])
    amount = MoneyField("Amount", [InputRequired("This is needed.")])
    note = StringField("Note", [Length(max=NOTE_LENGTH), no_controls, no_cards])
    key = KeyField()

    def __init__(self, *args: Any, kind: SystemKind, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(*args, **kwargs)

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Offer desks and units; read the amount with the decimals of the unit."""
        if self.kind is SystemKind.CASH_INPUT:
            self._fields.pop("desk", None)
        else:
            self._fields.pop("source", None)
            choices = [SelectChoice(value=str(desk.id), label=str(desk)) for desk in _desks(self.kind)]
            self.desk.choices = [SelectChoice(value="", label=_("Choose one")), *choices]
        self.unit.choices = unit_choices(blank=_("Choose one"), kind=UnitKind.FIAT)
        self.amount.scale = self._scale  # type: ignore[assignment]
        super().process(*args, **kwargs)

    def _scale(self) -> int:
        scale = unit_scale(str(self.unit.data)) if self.unit.data else None
        return MAX_SCALE if scale is None else scale


class WordsForm(Form):
    """Words that may go with a confirmation."""

    reason = StringField(
        "Note", [Length(max=REASON_LENGTH), no_controls, no_cards], description="Kept in the audit trail. Not needed."
    )
    key = KeyField()


class WhyForm(Form):
    """Why not; or why it is taken back."""

    reason = TextAreaField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="Whoever is concerned reads it; it stays on record.",
        render_kw={"rows": 3},
    )
    key = KeyField()


@page(menu=PAGE)
class SystemOperationsPage(PayAdminModelView):
    """Cash between the bank, money in transit and the desks (S3:65, S3:99, S3:118-121)."""

    model = SystemOperation
    slug = PAGE
    heading = "System operations"
    plural = "System operations"
    singular = "System operation"
    subtitle = "Cash input, cash collection and investment: an accountant initiates, a CFO confirms, then it is booked."
    create = None
    edit = None
    export = READ
    notes = False
    column_list = ("id", "created_at", "kind", "desk", "amount", "status", "initiated_by", "source")
    column_filters = ("status", "kind", "desk", "amount", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "status"
    phone = {"kind": "m1", "amount": "m2", "desk": "m3", "status": "m4"}
    list_also = ("reverses_id",)
    list_template = "treasury/system_operations.html"
    details_template = "treasury/system_operation.html"
    detail_sections = {
        "Operation": ("kind", "source", "desk", "amount", "status", "note", "reverses", "day"),
        "People": (
            "initiated_by", "created_at", "decided_by", "decided_at", "reason", "acknowledged_by", "acknowledged_at",
        ),
    }  # fmt: skip
    needs = {"initiate_view": INITIATE, "decide_view": READ, "acknowledge_view": OPERATE}

    def get_query(self) -> "Select[Any]":
        """All of them; for a cashier those of the desk at which that cashier works."""
        actor = current_actor()
        if actor.may(Permission.CASH_DESK_READ):
            return super().get_query()
        return super().get_query().where(SystemOperation.desk_id.in_(_own_desk(actor.staff_id)))

    def render(self, template: str, **kwargs: Any) -> str:
        """The list begins with what waits for whoever looks, and offers what they may initiate."""
        actor = current_actor()
        if template == self.list_template:
            kwargs |= {
                "queues": list(_queues()),
                "kinds": [(slug, say(Text(kind.value))) for slug, kind in KINDS.items()],
                "may_initiate": actor.may(INITIATE),
                "transit": [money_text(minor, unit) for unit, minor in transit(db.session()).items() if minor],
                "may_see_all": actor.may(Permission.CASH_DESK_READ),
            }
        return str(super().render(template, **kwargs))

    def details_context(self, row: SystemOperation) -> dict[str, Any]:
        """What it does, what the books say, and what whoever looks can do about it."""
        actor = current_actor()
        later = select(SystemOperation.id, SystemOperation.status).where(SystemOperation.reverses_id == row.id)
        back = db.session.execute(later.order_by(SystemOperation.id.desc()).limit(1)).first()
        is_own = _is_own(row)
        return super().details_context(row) | {
            "related": [],
            "about": say(ABOUT[row.kind]),
            "money": money_text(row.amount_minor, row.unit),
            "state": enum_cell(row.status),
            "journals": journals_about("system_operation", row.id),
            "scales": {row.unit: unit_scale(row.unit) or 0},
            "is_own": is_own,
            "may_confirm": actor.may(CONFIRM) and row.status is S.INITIATED and not is_own,
            "may_cancel": actor.may(INITIATE) and row.status in {S.INITIATED, S.STALE},
            "may_reverse": actor.may(INITIATE)
            and row.status is S.CONFIRMED
            and row.reverses_id is None
            and (back is None or back.status not in {S.INITIATED, S.CONFIRMED}),
            "may_acknowledge": _may_acknowledge(row),
            "taken_back_by": back,
        }

    # --- acts ---------------------------------------------------------------------------------------------------------

    @expose("/new/<any('cash-input','cash-collection',investment):slug>/", methods=("GET", "POST"))
    def initiate_view(self, slug: str) -> "ResponseReturnValue":
        """Ask for cash to be moved; the CFO confirms it."""
        kind = KINDS[slug]
        form = OperationForm(request.form if request.method == "POST" else None, kind=kind)
        if request.method == "GET" and "desk" in form and (asked := row_id_of(request.args.get("desk", ""))):
            form.desk.data = str(asked)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                row = treasury.initiate(
                    current_actor(),
                    kind=kind,
                    unit=str(form.unit.data),
                    amount_minor=int(form.amount.data or 0),
                    key=str(form.key.data),
                    desk_id=int(form.desk.data) if "desk" in form else None,
                    source=form.source.data if "source" in form else None,
                    note=form.note.data or None,
                )
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("It waits for the CFO: nothing has moved yet.", "success")
                return redirect(f"{self.address}{row.id}/", 303)
        return self.render(
            "treasury/system_operation_new.html",
            form=form,
            fields=list(form),
            title=TITLES[kind],
            about=ABOUT[kind],
            back=self.list_address(),
            sentence=sentence,
            changed=[],
            lies=_lies(kind),
        ), status

    @expose("/<int:row_id>/<any(confirm,reject,cancel,reverse):decision>/", methods=("GET", "POST"))
    def decide_view(self, row_id: int, decision: str) -> "ResponseReturnValue":
        """Confirm, reject, cancel, or ask for it to be taken back."""
        row = self.get_row(row_id)
        if not current_actor().may(CONFIRM if decision in {"confirm", "reject"} else INITIATE):
            raise Forbidden("Your role does not allow this.")
        given = request.form if request.method == "POST" else None
        form = WordsForm(given) if decision == "confirm" else WhyForm(given)
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    done = _decide(row_id, decision, form)
                except NotFound:
                    raise
                except (Invalid, Conflict, Forbidden) as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    flash(*_said(decision, done))
                    return redirect(f"{self.address}{done.id}/", 303)
        row = self.get_row(row_id)
        title, verb, danger = DECISIONS[decision]
        page_text = self.render(
            "treasury/system_operation_decide.html",
            row=row,
            form=form,
            decision=decision,
            verb=verb,
            danger=danger,
            problem=problem,
            money=money_text(row.amount_minor, row.unit),
            about=ABOUT[row.kind],
            desk=db.session.get(CashDesk, row.desk_id) if row.desk_id is not None else None,
            initiated_by=db.session.get_one(StaffUser, row.initiated_by_id).username,
            version=given.get("version", "") if given is not None else row.version,
            back=f"{self.address}{row_id}/",
            title=f"{say(title)}: {say(self.describe(row))}",
        )
        return page_text, status

    @expose("/<int:row_id>/acknowledge/", methods=("POST",))
    def acknowledge_view(self, row_id: int) -> "ResponseReturnValue":
        """Say that the cash came to the own desk, or left it."""
        self.get_row(row_id)
        try:
            treasury.acknowledge(current_actor(), row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("Acknowledged.", "success")
        return redirect(f"{self.address}{row_id}/", 303)


def _decide(row_id: int, decision: str, form: Any) -> SystemOperation:
    actor, reason = current_actor(), (form.reason.data or "").strip()
    version = row_id_of(request.form.get("version", "")) or 0
    match decision:
        case "confirm":
            return treasury.confirm(actor, row_id, version=version, reason=reason or None)
        case "reject":
            return treasury.reject(actor, row_id, reason=reason, version=version)
        case "cancel":
            return treasury.cancel(actor, row_id, reason=reason, version=version)
    return treasury.reverse(actor, row_id, reason=reason, key=str(form.key.data))


def _said(decision: str, done: SystemOperation) -> tuple[str, str]:
    if done.status is S.STALE:
        return _("Nothing was booked: what it takes is not there any more."), "error"
    sentences = {
        "confirm": "Confirmed and booked.",
        "reject": "Rejected. Nothing was booked.",
        "cancel": "Cancelled. Nothing was booked.",
        "reverse": "It waits for the CFO: nothing has moved yet.",
    }
    return sentences[decision], "success"


# ---- what waits for whom ---------------------------------------------------------------------------------------------


def _own_desk(staff_id: int | None) -> Any:
    here = (CashDeskAssignment.cashier_id == staff_id, CashDeskAssignment.ends_at.is_(None))
    return select(CashDeskAssignment.desk_id).where(*here)


def _not_mine() -> "ColumnElement[bool]":
    person = person_of(db.session(), current_actor())
    accounts = select(StaffUser.id).where(or_(StaffUser.id == person, StaffUser.person_id == person))
    return SystemOperation.initiated_by_id.not_in(accounts)


def _to_confirm() -> "Select[Any]":
    return select(SystemOperation).where(SystemOperation.status == S.INITIATED, _not_mine())


def _queues() -> Any:
    """What waits for whoever looks, as tables: heading, what an empty one says, rows, and the act that is offered."""
    actor = current_actor()
    if actor.may(CONFIRM):
        yield _queue(
            _("Waiting for you"), _to_confirm(), _("Nothing waits for your confirmation."), ("confirm", "reject")
        )
    if actor.may(INITIATE):
        stale = select(SystemOperation).where(SystemOperation.status == S.STALE)
        yield _queue(_("Out of date: initiate again, or put away"), stale, None, ("cancel",))
    if not actor.may(Permission.CASH_DESK_READ):
        come = select(SystemOperation).where(
            SystemOperation.desk_id.in_(_own_desk(actor.staff_id)),
            SystemOperation.status.in_((S.CONFIRMED, S.REVERSED)),
            SystemOperation.acknowledged_at.is_(None),
        )
        yield _queue(
            _("Cash that came or went: acknowledge it"),
            come,
            _("Nothing to acknowledge at your desk."),
            ("acknowledge",),
        )


def _queue(title: str, wanted: "Select[Any]", empty: str | None, acts: tuple[str, ...]) -> dict[str, Any]:
    rows = db.session.scalars(wanted.order_by(SystemOperation.id).limit(MOST_SHOWN + 1)).all()
    desks = {row.desk_id for row in rows if row.desk_id is not None}
    people = {row.initiated_by_id for row in rows}
    names = dict(db.session.execute(select(StaffUser.id, StaffUser.username).where(StaffUser.id.in_(people))).all())
    titles = dict(db.session.execute(select(CashDesk.id, CashDesk.name).where(CashDesk.id.in_(desks))).all())
    lines = [
        {
            "row": row,
            "kind": say(Text(row.kind.value)),
            "desk": titles.get(row.desk_id, say(Text(row.source.value)) if row.source is not None else ""),
            "money": money_text(row.amount_minor, row.unit),
            "by": names.get(row.initiated_by_id, ""),
        }
        for row in rows[:MOST_SHOWN]
    ]
    return {"title": title, "lines": lines, "empty": empty, "acts": acts, "more": len(rows) > MOST_SHOWN}


def _is_own(row: SystemOperation) -> bool:
    maker = db.session.get(StaffUser, row.initiated_by_id)
    return maker is not None and maker.person == person_of(db.session(), current_actor())


def _may_acknowledge(row: SystemOperation) -> bool:
    actor = current_actor()
    if not actor.may(OPERATE) or row.desk_id is None or row.acknowledged_at is not None:
        return False
    at = db.session.scalars(_own_desk(actor.staff_id)).all()
    return row.desk_id in at and row.status in {S.CONFIRMED, S.REVERSED}


def _desks(kind: SystemKind) -> Any:
    usable = (DeskStatus.ACTIVE,) if kind is SystemKind.INVESTMENT else (DeskStatus.ACTIVE, DeskStatus.LOCKED)
    wanted = select(CashDesk).where(CashDesk.status.in_(usable)).order_by(CashDesk.name, CashDesk.id)
    return db.session.scalars(wanted.limit(MOST_DESKS)).all()


def _lies(kind: SystemKind) -> list[tuple[str, list[str]]]:
    """What lies where, beside the form."""
    session = db.session()
    told = [(say(_("Money in transit")), _amounts(transit(session)))]
    if kind is not SystemKind.CASH_INPUT:
        desks = _desks(kind)
        found = balances(session, desks)
        told += [(str(desk), _amounts(found.get(desk.id, {}))) for desk in desks]
    return told


def _amounts(by_unit: dict[str, int]) -> list[str]:
    return [money_text(minor, unit) for unit, minor in sorted(by_unit.items()) if minor]


def _menu_count() -> str:
    """How many operations wait for the person signed in; nothing is asked for those who confirm none."""
    if not current_actor().may(CONFIRM):
        return ""
    some = select(literal(1)).where(SystemOperation.status == S.INITIATED, _not_mine()).limit(MENU_MOST + 1)
    number = db.session.scalar(select(func.count()).select_from(some.subquery())) or 0
    return f"{MENU_MOST}+" if number > MENU_MOST else str(number or "")


def init_system_operations(app: Flask) -> None:
    """Say in the menu how much waits."""
    counts: dict[str, Callable[[], str]] = app.extensions.setdefault(shell.COUNTS, {})
    counts[PAGE] = _menu_count
