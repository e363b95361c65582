"""Batch Transaction (S2:68-71, S2:94-97): templates, and the upload of a file of each kind."""

import functools
import time
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, redirect, render_template, request, url_for
from sqlalchemy import select
from wtforms import Form, HiddenField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired

from payadmin.actions import batches
from payadmin.actions.batches.columns import PAYEE
from payadmin.actions.batches.reading import StoreCards
from payadmin.db import db
from payadmin.kernel import sheets
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.kernel.text import _
from payadmin.models.batches import OPEN, Batch, BatchKind
from payadmin.models.parties import Organization, OrganizationKind, OrganizationStatus
from payadmin.models.payments import PaymentMethod, Unit
from payadmin.permissions import Permission
from payadmin.providers import CONNECTED, provider_for
from payadmin.views import lists
from payadmin.views.batches.pages import amounts, status_badge
from payadmin.views.batches.payers import found_payers, organization_titles
from payadmin.views.columns import PAGE_OF, titles_of
from payadmin.views.fields import LinkField, SelectField, put
from payadmin.views.filters import MOST_OPTIONS, row_id_of
from payadmin.views.security import current_actor

KINDS = {
    "registration": BatchKind.REGISTRATION,
    "single-payment": BatchKind.SINGLE_PAYMENT,
    "mass-payment": BatchKind.MASS_PAYMENT,
}
SLUGS = {kind: slug for slug, kind in KINDS.items()}
TEMPLATE_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
LATEST = 5
NEEDED = "This is needed."
# Of a file that is too large; a sender who goes on for longer is cut off.
READ_AT_ONCE = 64 * 1024
MOST_IGNORED = 256 * 2**20
PATIENCE_SECONDS = 30
TOO_LARGE = _(
    "The file is too large: at most %(max_bytes)s MB are read. Split it into smaller files.",
    max_bytes=sheets.MAX_BYTES // 2**20,
)

blueprint = Blueprint("batch_transaction", __name__, url_prefix="/batch-transaction")


class UploadForm(Form):
    """Whom the rows pay, and how; the file is read beside it."""

    method = SelectField("Method", [InputRequired(NEEDED)])
    provider = SelectField(
        "Provider",
        [InputRequired(NEEDED)],
        choices=[SelectChoice(value=code, label=code.capitalize()) for code in sorted(CONNECTED)],
    )
    version = HiddenField()

    def __init__(self, formdata: Any = None, **kw: Any) -> None:
        super().__init__(formdata, **kw)
        methods = select(PaymentMethod.code, PaymentMethod.name).order_by(PaymentMethod.name).limit(MOST_OPTIONS)
        choices = [SelectChoice(value=code, label=name) for code, name in db.session.execute(methods)]
        # Nobody's payments become those of the first method of the alphabet by oversight.
        self.method.choices = (
            choices if len(choices) == 1 else [SelectChoice(value="", label=_("Choose one")), *choices]
        )


class PayoutForm(Form):
    """Who pays the rows of a mass payment, out of the wallets that they have."""

    version = HiddenField()


def form_class(kind: BatchKind) -> type[Form]:
    """The form of a kind, with its look-up of the merchant, or of who pays."""
    if kind is BatchKind.MASS_PAYMENT:
        payer = LinkField(
            "Paid by",
            [InputRequired(NEEDED)],
            titles=organization_titles,
            address=functools.partial(url_for, "batch_transaction.payers"),
        )
        return type("PayoutLinkedForm", (PayoutForm,), {"merchant": payer})
    column = current_app.extensions[PAGE_OF][Batch].columns["merchant"]
    merchant = LinkField(
        "Merchant",
        [InputRequired(NEEDED)],
        titles=functools.partial(titles_of, column),
        address=functools.partial(url_for, "batches.lookup_view", field="merchant"),
    )
    return type("UploadLinkedForm", (UploadForm,), {"merchant": merchant})


@blueprint.before_request
def _gate() -> None:
    if not current_actor().may(Permission.BATCHES_BATCH_PROCESS):
        raise Forbidden("Your role does not include this page.")


@blueprint.route("/", methods=("GET", "POST"))
def index() -> Any:
    """The form of one kind; a post takes the file in and goes to its batch, whose rows are then being checked."""
    old = _to_be_replaced()
    kind = old.kind if old else _kind(request.args.get("kind", "registration"))
    is_over = old is not None and old.status not in OPEN
    latest = _latest(kind)
    if request.method == "GET":
        form = form_class(kind)(data=_usual(kind, old, latest))
        problem: str | None = TOO_LARGE if request.args.get("refused") == "too-large" else None
        return _page(kind, form, latest, None if is_over else old, gone=old if is_over else None, problem=problem)
    old_id = old.id if old else None
    form = form_class(kind)(request.form)
    status, problem, general, earlier = 422, None, None, None
    file = request.files.get("file")
    if file is None or not file.filename:
        form.validate()
        problem = "Choose a file."
    elif form.validate():
        try:
            batch = _take_in(form, file.read(), file.filename, kind, old_id)
        except (Invalid, Conflict) as refusal:
            db.session.rollback()
            status, earlier = refusal.status, refusal.data.get("batch_id")
            problem = _put(form, refusal)
        else:
            return redirect(url_for("batches.details_view", row_id=batch.id), 303)
    else:
        general = "The file was not read: correct the fields marked below."
    old = db.session.get(Batch, old_id) if old_id else None
    return _page(kind, form, _latest(kind), old, problem=problem, general=general, earlier=earlier), status


def _take_in(form: Any, data: bytes, name: str, kind: BatchKind, replaces: int | None) -> Batch:
    settings = current_app.extensions["payadmin.settings"]
    goes_through = kind is not BatchKind.MASS_PAYMENT
    method, provider = (form.method.data, form.provider.data) if goes_through else (None, None)
    return batches.upload_batch(
        current_actor(),
        data,
        name=name,
        kind=kind,
        merchant_id=form.merchant.data,
        method=method,
        provider=provider,
        store_cards=_card_store(provider) if provider else _no_cards,
        keys=settings.totp_keys,
        replaces=replaces,
        version=(row_id_of(form.version.data or "") or 0) if replaces else None,
    )


def _card_store(provider: str) -> StoreCards:
    settings = current_app.extensions["payadmin.settings"]
    found = provider_for(
        provider, simulator_url=settings.simulator_url, timeout_seconds=settings.provider_timeout_seconds
    )
    return found.store_cards


def _no_cards(_numbers: Sequence[str]) -> None:
    """A mass payment has no column for card numbers, so none is ever exchanged."""


def _put(form: Any, refusal: Refusal) -> str | None:
    """Put a refusal at its field; what is about no other field is about the file."""
    return put(form, refusal, {"merchant_id": "merchant"}.get(refusal.field or "", refusal.field))


@blueprint.errorhandler(413)
def _too_large(_error: Exception) -> Response:
    """A body beyond every limit is not kept; the page says at the file what the limit is."""
    _let_it_arrive(request.environ["wsgi.input"])
    kept: dict[str, Any] = {key: request.args[key] for key in ("kind", "replaces") if key in request.args}
    return redirect(url_for("batch_transaction.index", refused="too-large", **kept), 303)  # type: ignore[return-value]


def _let_it_arrive(stream: Any) -> None:
    """Read what the browser still sends, and forget it: it shows no answer before it has sent its file."""
    until, left = time.monotonic() + PATIENCE_SECONDS, MOST_IGNORED
    try:
        while left > 0 and time.monotonic() < until and (data := stream.read(READ_AT_ONCE)):
            left -= len(data)
    except OSError:
        return  # it has gone away


@blueprint.get("/payers/")
def payers() -> Response:
    """The organizations that the form of a mass payment offers for what was typed: those that have a wallet."""
    return jsonify(found_payers(request.args.get("q", "").strip()))


@blueprint.get("/template/<any('registration', 'single-payment', 'mass-payment'):kind>.<any('csv', 'xlsx'):form>")
def template(kind: str, form: str) -> Response:
    """A file to fill in: header and two example rows; as a workbook also drop-downs and hints."""
    units = db.session.scalars(select(Unit.code).order_by(Unit.code)).all()
    data = batches.template(KINDS[kind], form, today=lists.today(), units=units)
    answer = Response(data, content_type=TEMPLATE_TYPES[form])
    answer.headers["Content-Disposition"] = f'attachment; filename="{kind}-template.{form}"'
    return answer


def _kind(slug: str) -> BatchKind:
    if slug not in KINDS:
        raise NotFound("There is no such type of batch.")
    return KINDS[slug]


def _to_be_replaced() -> Batch | None:
    """The batch that the file corrects, as the address names it."""
    text = request.args.get("replaces", "")
    if not text:
        return None
    found = db.session.get(Batch, row_id_of(text) or 0)
    if found is None:
        raise NotFound("There is no such batch.")
    return found


def _latest(kind: BatchKind) -> Sequence[Batch]:
    """The newest uploads of a kind (S2:73)."""
    newest = select(Batch).where(Batch.kind == kind).order_by(Batch.created_at.desc(), Batch.id.desc())
    return db.session.scalars(newest.limit(LATEST)).all()


def _usual(kind: BatchKind, old: Batch | None, latest: Sequence[Batch]) -> dict[str, Any]:
    """What the form begins with: the terms of the batch to be replaced, else of one's own last one."""
    mine = old or next((batch for batch in latest if batch.uploaded_by == current_actor().name), None)
    if mine is not None:
        known = {"merchant": mine.merchant_id, "method": mine.method, "provider": mine.provider}
        return known | ({"version": str(mine.version)} if old else {})
    if kind is BatchKind.MASS_PAYMENT:
        return {}
    merchants = select(Organization.id).where(
        Organization.kind == OrganizationKind.MERCHANT, Organization.status == OrganizationStatus.ACTIVE
    )
    some = db.session.scalars(merchants.limit(2)).all()
    return {"merchant": some[0]} if len(some) == 1 else {}


def _page(
    kind: BatchKind,
    form: Any,
    latest: Sequence[Batch],
    old: Batch | None,
    *,
    gone: Batch | None = None,
    problem: str | None = None,
    general: str | None = None,
    earlier: int | None = None,
) -> str:
    return render_template(
        "batches/upload.html",
        kind=kind,
        slug=SLUGS[kind],
        kinds=[(slug, each.value, each is kind) for slug, each in KINDS.items()],
        form=form,
        old=old,
        gone=gone,
        problem=problem,
        general=general,
        earlier=earlier,
        columns=batches.COLUMNS[kind],
        payee=PAYEE,
        latest=[(batch, amounts(batch.totals)) for batch in latest],
        status_badge=status_badge,
        max_bytes=sheets.MAX_BYTES,
        max_rows=batches.MAX_ROWS,
        may_read=current_actor().may(Permission.BATCHES_BATCH_READ),
    )


def init_batch_transaction(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"]["batch-transaction"] = "batch_transaction.index"
