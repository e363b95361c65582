"""Blocks: everything that is or was blocked, who or what to block, and what a user did (S3:146, S3:154, LI5)."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from flask import current_app, flash, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import or_, select
from wtforms import Form, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import risk
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffStatus, StaffUser
from payadmin.models.payments import Mode, Payment
from payadmin.models.risk import (
    COLUMN_OF,
    MODEL_OF,
    NOTE_LENGTH,
    Block,
    BlockReason,
    BlockScope,
    BlockStatus,
    BlockTarget,
)
from payadmin.permissions import Permission
from payadmin.queries.blocks import stops_of
from payadmin.queries.risk import block_in_force, candidates, charges_in_hand, known_of
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import PAGE_OF, Column, Kind, enum_cell, money_text
from payadmin.views.fields import EnumField, MomentField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.risk.shown import address_of, block_key, known_words, titles_of
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

WRITE = Permission.FRAUD_BLOCK_WRITE
STOPS_SHOWN = 50
LONGEST = 200


class BlockForm(Form):
    """How far, why, and until when."""

    scope = EnumField("Stops", [InputRequired("Choose one.")], members=BlockScope)
    reason_code = EnumField("Reason", [InputRequired("Choose one.")], members=BlockReason)
    note = StringField(
        "In words",
        [InputRequired("Say why."), Length(max=NOTE_LENGTH), no_controls, no_cards],
        description="It stands beside the block and in the trail. Whoever is stopped does not read it.",
    )
    until = MomentField(
        "Until", [Optional()], description="Leave it empty to block until somebody lifts it. Business time."
    )


class LiftForm(Form):
    """Why a block is lifted."""

    reason = StringField(
        "Reason", [InputRequired("Say why."), Length(max=NOTE_LENGTH), no_controls, no_cards],
        description="What was stopped is not done by this. Whoever wants it asks again.",
    )  # fmt: skip


@page(menu="blocks")
class BlocksPage(PayAdminModelView):
    """Everything that somebody blocked, in force or not."""

    model = Block
    slug = "blocks"
    heading = "Blocks"
    plural = "Blocks"
    singular = "Block"
    subtitle = "Customers, organizations, wallets and transactions that may do nothing new."
    create = None
    edit = None
    export = None
    column_list = ("id", "what", "target", "scope", "reason_code", "blocked_by", "created_at", "until", "status")
    column_filters = ("target", "reason_code", "status", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "status"
    phone = {"what": "m1", "reason_code": "m2", "target": "m3", "status": "m4"}
    list_also = (
        "target",
        "customer_id",
        "organization_id",
        "wallet_id",
        "payment_id",
        "wallet_transaction_id",
        "until",
    )
    list_template = "risk/blocks.html"
    details_template = "risk/block.html"
    detail_sections = {
        "Block": ("target", "scope", "reason_code", "note", "created_at", "blocked_by", "is_by_rule", "until"),
        "Its end": ("status", "lifted_at", "lifted_by", "lift_reason"),
    }
    needs = {"find_view": WRITE, "set_view": WRITE, "lift_view": WRITE, "activity_view": WRITE}

    def _refresh_cache(self) -> None:
        # What is blocked is one of five columns; people read its name.
        self.columns["what"] = Column("what", _("Who or what"), Kind.TEXT, Block.id, {"readonly": True})
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also what each block is about: a look-up for each kind of target."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        if any(column.key == "what" for column in shown):
            names["what"] = titles_of(_key(row) for row in rows)
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Names of what is blocked; a block whose time is over is not shown as one in force."""
        if column.key == "what":
            return lambda row: names.get(_key(row), "")
        if column.key == "status":
            return lambda row: _status_cell(row, utcnow())
        return super().cell(column, names)

    def details_context(self, row: Block) -> dict[str, Any]:
        """What it is about, what it stopped, and what was in hand when it came into force."""
        session, now = db.session(), utcnow()
        key = block_key(row)
        party = row.target in {BlockTarget.CUSTOMER, BlockTarget.ORGANIZATION}
        return super().details_context(row) | {
            "title": say(_("Block no. %(number)s", number=row.id)),
            "related": [],
            "what": titles_of([key]).get(key, ""),
            "what_url": address_of(*key),
            "stops": stops_of(session, row.id, STOPS_SHOWN),
            "in_hand": charges_in_hand(session, row),
            "is_party": party,
            "activity_url": f"{self.address}activity/?{row.target.name.lower()}={row.target_id}" if party else None,
            "may_lift": row.holds_at(now),
            "is_past": row.status is BlockStatus.ACTIVE and not row.holds_at(now),
            "money": money_text,
            "cell": enum_cell,
            "act_words": _act_words,
        }

    # --- finding and blocking -----------------------------------------------------------------------------------------

    @expose("/find/")
    def find_view(self) -> Any:
        """Who or what a typed ID, address or number means, each with the way to block it."""
        typed = request.args.get("q", "").strip()
        if len(typed) > LONGEST or not typed.isprintable():
            typed = ""
        session, now = db.session(), utcnow()
        country = current_settings().phone_country
        keys = candidates(session, typed, Mode[current_mode()], country=country) if typed else []
        titles = titles_of(keys)
        found = [
            {
                "kind": say(Text(key[0].value)),
                "title": titles[key],
                "url": address_of(*key),
                "block": block_in_force(session, *key, now),
                "new_url": url_for("blocks.set_view", target=key[0].name, row=key[1]),
            }
            for key in keys
            if key in titles
        ]
        return self.render("risk/find.html", typed=typed, found=found, staff=_staff(typed))

    @expose("/set/", methods=("GET", "POST"))
    def set_view(self) -> Any:
        """Block one thing that was found: what it is, how far, why, and until when."""
        target, row_id = _asked_for()
        titles = titles_of([(target, row_id)])
        form = BlockForm(request.form if request.method == "POST" else None)
        if target is not BlockTarget.WALLET:
            form.scope.data, form.scope.validators = BlockScope.ALL, []
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                block_id = risk.block(
                    current_actor(),
                    target=target,
                    row_id=row_id,
                    scope=form.scope.data if target is BlockTarget.WALLET else BlockScope.ALL,
                    reason_code=form.reason_code.data,
                    note=str(form.note.data),
                    until=form.until.data,
                )
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
                if standing := refusal.data.get("block_id"):
                    flash(refusal.sentence, "warning")
                    return redirect(f"{self.address}{standing}/", 303)
            else:
                flash("Blocked, at once and everywhere.", "success")
                return redirect(f"{self.address}{block_id}/", 303)
        fields = [field for field in form if field.name != "scope" or target is BlockTarget.WALLET]
        shown = {"fields": fields, "sentence": sentence, "changed": [], "back": url_for("blocks.find_view")}
        title = say(_("Block %(what)s", what=titles.get((target, row_id), "")))
        key = (target, row_id)
        return self.render(
            "risk/new_block.html", form=form, title=title, target=target, what_url=address_of(*key), **shown
        ), status

    @expose("/<int:row_id>/lift/", methods=("GET", "POST"))
    def lift_view(self, row_id: int) -> Any:
        """Lift a block, or ask a second person to where a policy says so."""
        self.get_row(row_id)
        form = LiftForm(request.form if request.method == "POST" else None)
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                risk.lift_block(current_actor(), row_id, reason=str(form.reason.data))
            except (Invalid, Conflict) as refusal:
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("The block is lifted.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        shown = {"fields": list(form), "back": f"{self.address}{row_id}/", "sentence": sentence, "changed": []}
        title = say(_("Lift block no. %(number)s", number=row_id))
        return self.render("risk/lift.html", form=form, title=title, **shown), status

    @expose("/activity/")
    def activity_view(self) -> Any:
        """What a customer or an organization did and what was done about them, as far as anti-fraud may know."""
        customer_id = row_id_of(request.args.get("customer", ""))
        organization_id = row_id_of(request.args.get("organization", "")) if customer_id is None else None
        known = known_of(db.session(), customer_id=customer_id, organization_id=organization_id)
        if known.customer is None and known.organization is None:
            raise NotFound("There is no such record.")
        target = BlockTarget.CUSTOMER if known.customer is not None else BlockTarget.ORGANIZATION
        key = (target, customer_id or organization_id or 0)
        title = say(_("What %(who)s did", who=titles_of([key]).get(key, "")))
        new_url = url_for("blocks.set_view", target=target.name, row=key[1])
        told = known_words(known) | {"activity_url": None}  # this is that page
        return self.render("risk/activity.html", title=title, new_url=new_url, **told)


def _key(row: Any) -> tuple[BlockTarget, int]:
    return row.target, getattr(row, COLUMN_OF[row.target])


def _status_cell(row: Any, now: dt.datetime) -> Any:
    """In force is bad news for somebody; what only waits for a job to end it is over."""
    if row.status is BlockStatus.ACTIVE and (row.until is None or row.until > now):
        return ui.badge(row.status.value, "bad")
    return ui.badge(BlockStatus.ENDED.value if row.status is BlockStatus.ACTIVE else row.status.value, "plain")


def _asked_for() -> tuple[BlockTarget, int]:
    """What the address names; it must be there, and a payment in the mode that is shown."""
    name, row_id = request.args.get("target", ""), row_id_of(request.args.get("row", ""))
    if name not in BlockTarget.__members__ or row_id is None:
        raise NotFound("There is no such record.")
    target = BlockTarget[name]
    row = db.session.get(MODEL_OF[target], row_id)
    if row is None or (isinstance(row, Payment) and row.mode is not Mode[current_mode()]):
        raise NotFound("There is no such record.")
    return target, row_id


def _staff(typed: str) -> dict[str, Any] | None:
    """A member of staff of this name, who is locked under User management, by those who may open it."""
    if not typed:
        return None
    wanted = select(StaffUser.id, StaffUser.status).where(or_(StaffUser.username == typed, StaffUser.email == typed))
    view = current_app.extensions[PAGE_OF].get(StaffUser)
    row = db.session.execute(wanted).first()
    if row is None:
        return None
    may = view is not None and view.is_accessible()
    return {"url": f"{view.address}{row.id}/" if may else None, "is_locked": row.status is StaffStatus.LOCKED and may}


def _act_words(act: str) -> str:
    return act.partition(".")[2].replace("_", " ").capitalize() or act
