"""Products: what service providers sell, with price, state and validity; each can be sold to a wallet (S3:46)."""

from collections.abc import Callable
from typing import Any

from flask import flash, jsonify, redirect, request, url_for
from flask_admin import expose
from werkzeug.wrappers import Response
from wtforms import DateField, Form, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import products
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.products import CODE_LENGTH, DESCRIPTION_LENGTH, NAME_LENGTH, Product, ProductStatus
from payadmin.permissions import Permission
from payadmin.queries.products import why_unsellable
from payadmin.views import lists
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import unit_scale
from payadmin.views.fields import LinkField, MoneyField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.products.selling import sell_page
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.tariffs.shown import found_organizations, organization_titles, unit_choices
from payadmin.views.wallets.shown import found_wallets

WRITE, SELL = Permission.WALLETS_PRODUCT_WRITE, Permission.WALLETS_PRODUCT_SELL
NEEDED = "This is needed."
MOST_DECIMALS = 2


class TermsForm(Form):
    """What can change: how it is called, what it costs, when it is sold."""

    name = StringField("Name", [InputRequired(NEEDED), Length(max=NAME_LENGTH), no_controls, no_cards])
    price = MoneyField("Price", [InputRequired(NEEDED)])
    valid_from = DateField("Sold from", [InputRequired(NEEDED)])
    valid_to = DateField("Sold until", [Optional()], description="The last day. Empty: without end.")
    description = TextAreaField(
        "Description", [Length(max=DESCRIPTION_LENGTH), no_controls, no_cards], render_kw={"rows": 3}
    )
    seen_version = HiddenField()

    def terms(self) -> dict[str, Any]:
        """What the form says, as the use cases take it."""
        return {
            "name": str(self.name.data),
            "price_minor": int(self.price.data or 0),
            "valid_from": self.valid_from.data,
            "valid_to": self.valid_to.data,
            "description": self.description.data or None,
        }


class NewForm(TermsForm):
    """A new product: also whose it is, and what never changes."""

    code = StringField(
        "Code",
        [InputRequired(NEEDED), Length(max=CODE_LENGTH), no_controls],
        description="Letters, digits, dots and dashes. It never changes.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    provider = LinkField(
        "Service provider",
        [InputRequired("Choose one.")],
        titles=organization_titles,
        address=lambda: url_for("products.providers_view"),
        description="Type the beginning of its name. It gets the price into its wallet.",
    )
    unit = SelectField("Currency", [InputRequired(NEEDED)], description="The service provider needs a wallet in it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unit.choices = unit_choices(blank=_("Choose one"))

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Read the price with the decimals of the currency that was chosen; that field is read after it."""
        self.price.scale = lambda: _scale(request.form.get("unit"))  # type: ignore[assignment]
        super().process(*args, **kwargs)


@page(menu="products")
class ProductsPage(PayAdminModelView):
    """What integrated service providers sell."""

    model = Product
    slug = "products"
    plural = "Products"
    singular = "Product"
    subtitle = "What integrated service providers sell to whoever has a wallet: price, state and validity."
    create = edit = WRITE
    export = Permission.WALLETS_PRODUCT_EXPORT
    column_list = ("code", "name", "provider", "price", "status", "valid_from", "valid_to")
    column_filters = ("status", "provider", "price", "created_at")
    column_sortable = ("code", "name", "price", "created_at")
    default_sort = "name"
    tabs = "status"
    phone = {"name": "m1", "price": "m2", "provider": "m3", "status": "m4"}
    find_by = ("code", "name")
    list_template = "products/list.html"
    details_template = "products/product.html"
    detail_sections = {
        "Product": ("code", "name", "provider", "status", "description"),
        "Sale": ("price", "valid_from", "valid_to", "created_at", "updated_at"),
    }
    needs = {"providers_view": WRITE, "status_view": WRITE, "sell_view": SELL, "wallets_view": SELL}

    def details_context(self, row: Product) -> dict[str, Any]:
        """Whether it can be sold today, and if not, why."""
        provider = db.session.get_one(Organization, row.provider_id)
        return super().details_context(row) | {
            "why_not": why_unsellable(row, provider, lists.today()),
            "may_sell": current_actor().may(SELL),
            "may_write": self.may("edit"),
            "is_active": row.status is ProductStatus.ACTIVE,
        }

    # --- forms --------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """A new product."""
        form = NewForm(request.form) if request.method == "POST" else NewForm(data={"valid_from": lists.today()})

        def save() -> int:
            provider_id = int(form.provider.data or 0)
            unit = str(form.unit.data)
            return products.add_product(
                current_actor(), code=str(form.code.data), provider_id=provider_id, unit=unit, **form.terms()
            )

        return self._terms_page(form, save, Text("New product"), self.address, _("Product added."))

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """Its name, price, validity and description."""
        row = self.get_row(row_id)
        title, unit = row.name, row.unit
        form = TermsForm()
        form.price.scale = lambda: _scale(unit)  # type: ignore[assignment]
        if request.method == "POST":
            form.process(request.form)
        else:
            shown = {key: getattr(row, key) for key in ("name", "valid_from", "valid_to", "description")}
            form.process(data=shown | {"price": row.price_minor, "seen_version": str(row.version)})

        def save() -> int:
            seen = row_id_of(form.seen_version.data or "") or 0
            products.change_product(current_actor(), row_id, version=seen, **form.terms())
            return row_id

        return self._terms_page(form, save, title, f"{self.address}{row_id}/", _("Saved."), unit=unit)

    def _terms_page(
        self, form: TermsForm, save: Callable[[], int], title: str, back: str, said: str, *, unit: str | None = None
    ) -> Any:
        status, sentence = 200 if request.method == "GET" else 422, None
        if request.method == "POST" and form.validate():
            try:
                row_id = save()
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, _put(form, refusal)
            else:
                flash(said, "success")
                return redirect(f"{self.address}{row_id}/", 303)
        names = ("code", "name", "provider", "unit", "price", "valid_from", "valid_to", "description")
        fields = [form[name] for name in names if name in form]
        shown: dict[str, Any] = {"title": title, "back": back, "sentence": sentence, "unit": unit, "changed": []}
        return self.render("products/form.html", form=form, fields=fields, **shown), status

    @expose("/providers/")
    def providers_view(self) -> Response:
        """The service providers that a form offers for what was typed."""
        return jsonify(found_organizations(request.args.get("q", "").strip(), [OrganizationKind.PROVIDER]))

    @expose("/<int:row_id>/status/<any(stop,resume):act>/", methods=("POST",))
    def status_view(self, row_id: int, act: str) -> Any:
        """Take it out of sale, or sell it again."""
        self.get_row(row_id)
        seen = row_id_of(request.form.get("version", "")) or 0
        try:
            products.set_product_status(current_actor(), row_id, is_active=act == "resume", version=seen)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("For sale again." if act == "resume" else "Out of sale.", "success")
        return redirect(f"{self.address}{row_id}/", 303)

    # --- a sale -------------------------------------------------------------------------------------------------------

    @expose("/wallets/")
    def wallets_view(self) -> Response:
        """The wallets that the form of a sale offers for what was typed."""
        return jsonify(found_wallets(request.args.get("q", "").strip()))

    @expose("/<int:row_id>/sell/", methods=("GET", "POST"))
    def sell_view(self, row_id: int) -> Any:
        """Sell it to a wallet: what that costs is shown before it is confirmed."""
        return sell_page(self, self.get_row(row_id))


def _scale(unit: str | None) -> int:
    found = unit_scale(unit) if unit else None
    return MOST_DECIMALS if found is None else found


def _put(form: TermsForm, refusal: Refusal) -> str | None:
    if "now" in refusal.data:
        form.seen_version.data, form.seen_version.raw_data = str(refusal.data["now"]), None
    return put(form, refusal)
