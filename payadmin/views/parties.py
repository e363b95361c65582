"""Customers and organizations."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import current_app, g, url_for
from sqlalchemy import case, select

from payadmin.db import db, utcnow
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, IdentificationStatus, Organization, OrganizationStatus
from payadmin.models.tariffs import Contract
from payadmin.models.wallets import Wallet
from payadmin.permissions import Permission
from payadmin.queries.tariffs import count_users, in_force, number_of_users
from payadmin.queries.usage import OUTSIDERS, dealt_with
from payadmin.queries.wallets import amounts_of, wallets_of
from payadmin.views import ui
from payadmin.views.base import HISTORY_LENGTH, PayAdminModelView
from payadmin.views.columns import PAGE_OF, Column, Kind, enum_cell, unit_scale
from payadmin.views.language import say, speech
from payadmin.views.registry import page
from payadmin.views.security import current_actor

if TYPE_CHECKING:
    from sqlalchemy import Select

COUNTED = {"staff": (_("Users"), StaffUser.organization_id), "wallets": (_("Wallets"), Wallet.organization_id)}


@page(menu="customers")
class CustomersPage(PayAdminModelView):
    """Payers. Their payments stand on their details page."""

    model = Customer
    notes = True
    create = None  # customers come with their payments, under the ID their merchant gave them
    edit = Permission.PARTIES_CUSTOMER_WRITE
    export = Permission.PARTIES_CUSTOMER_EXPORT
    column_list = ("name", "external_id", "email", "phone", "kind", "status", "created_at")
    phone = {"name": "m1", "status": "m2", "email": "m3", "created_at": "m4"}
    find_by = ("external_id", "email", "phone", "username", "name")

    def _refresh_cache(self) -> None:
        # What goes on between identified and not is for the page of identification alone (KY1).
        raw = self.columns.pop("identification", None)
        self.columns.pop("identification_since", None)
        if raw is not None:
            info = {"readonly": True, "list": False, "filter": False}
            self.columns["identified"] = Column(
                "identified", raw.label, Kind.TEXT, Customer.identification, info, worked_out=_identified
            )
        super()._refresh_cache()

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Identified or not, and no more."""
        if column.key == "identified":
            return lambda row: ui.badge(*identified_words(row.identification))
        return super().cell(column, names)

    def history_of(self, row: Customer) -> Sequence[AuditEvent]:
        """What the trail says, without what compliance did, was refused, and why (KY1)."""
        if current_actor().may(Permission.COMPLIANCE_CASE_DECIDE):
            return super().history_of(row)
        about = (AuditEvent.entity == Customer.__tablename__, AuditEvent.entity_id == str(row.id))
        told = select(AuditEvent).where(*about, ~AuditEvent.event.startswith("identification.", autoescape=True))
        return db.session.scalars(told.order_by(AuditEvent.id.desc()).limit(HISTORY_LENGTH)).all()

    def menu_actions(self) -> list[dict[str, Any]]:
        """Their payments are one step away."""
        entries = super().menu_actions()
        if current_actor().may(Permission.PAYMENTS_PAYMENT_READ):
            url = f"{url_for('transactions.index_view')}?customer={{id}}"
            entries.append({"name": "payments", "label": "Payments", "icon": "credit-card", "url": url})
        if current_actor().may(Permission.SUPPORT_CODEWORD_WRITE):
            url = url_for("clients.set_word", customer_id=0).replace("/0/", "/{id}/")
            entries.append({"name": "codeword", "label": "New codeword…", "icon": "key", "url": url})
        return entries


@page(menu="organizations")
class OrganizationsPage(PayAdminModelView):
    """Merchants and everybody else payments and staff belong to."""

    model = Organization
    notes = True
    create = Permission.PARTIES_ORGANIZATION_WRITE
    edit = Permission.PARTIES_ORGANIZATION_WRITE
    export = Permission.PARTIES_ORGANIZATION_EXPORT
    column_list = ("name", "kind", "status", "staff", "contract_id", "wallets", "created_at")
    column_filters = ("kind", "status", "contract_id", "created_at")
    column_sortable = ("name", "created_at")
    find_by = ("name",)
    tabs = "kind"
    phone = {"name": "m1", "status": "m2", "kind": "m3", "contract_id": "m4"}
    details_template = "wallets/organization.html"
    detail_sections = {
        "Organization": ("name", "kind", "status", "cashback_profile_id", "created_at", "updated_at"),
    }

    def _refresh_cache(self) -> None:
        # Columns that are counted, not kept.
        for key, (label, link) in COUNTED.items():
            counted = partial(number_of_users, link)
            self.columns[key] = Column(key, label, Kind.NUMBER, Organization.id, {"readonly": True}, worked_out=counted)
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, Any]]:
        """Also how many users and wallets each has: one statement for each of the two."""
        shown = list(shown)
        names: dict[str, dict[Any, Any]] = super().names_for(shown, rows)
        keys, ids = {column.key for column in shown}, [row.id for row in rows]
        for key, (_label, link) in COUNTED.items():
            if key in keys:
                names[key] = {
                    row_id: speech().grouped(number) for row_id, number in count_users(db.session(), link, ids).items()
                }
        return names

    def cell(self, column: Column, names: dict[Any, Any]) -> Any:
        """Counts as people read them."""
        if column.key in COUNTED:
            return lambda row: names.get(row.id, "0")
        return super().cell(column, names)

    def details_context(self, row: Organization) -> dict[str, Any]:
        """Its wallets with what is in them, and the contract that is in force."""
        session, actor = db.session(), current_actor()
        found = wallets_of(session, organization_id=row.id) if actor.may(Permission.WALLETS_WALLET_READ) else None
        contract = session.get(Contract, row.contract_id) if row.contract_id is not None else None
        version = in_force(session, contract.id, utcnow()) if contract is not None else None
        shown = super().details_context(row)
        label = say(current_app.extensions[PAGE_OF][Wallet].plural_)
        return shown | {
            "related": [part for part in shown["related"] if part.label != label],  # they have a card of their own
            "wallets": found,
            "amounts": amounts_of(session, found) if found else {},
            "scales": {wallet.unit: unit_scale(wallet.unit) or 0 for wallet in found or ()},
            "state": enum_cell,
            "may_open": actor.may(Permission.WALLETS_WALLET_WRITE) and row.status is OrganizationStatus.ACTIVE,
            "contract": contract,
            "version": version,
            "may_contract": actor.may(Permission.CONTRACTS_REQUEST_READ),
        }

    def get_query(self) -> "Select[Any]":
        """For issuers and partners, whose pages name organizations too: their own and those they deal with."""
        actor, scope = g.get("actor"), super().get_query()
        if actor is None or not actor.roles or actor.roles - OUTSIDERS:
            return scope
        return scope.where(Organization.id.in_(dealt_with(actor.organization_id, actor.roles)))


def identified_words(status: IdentificationStatus) -> tuple[str, str]:
    """What screens say of an identification, and in which tone (KY1)."""
    return ("Identified", "ok") if status is IdentificationStatus.IDENTIFIED else ("Unidentified", "plain")


def _identified(status: Any) -> Any:
    """The same for files."""
    return case((status == IdentificationStatus.IDENTIFIED, "Identified"), else_="Unidentified")
