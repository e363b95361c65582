"""The checkout desk: actors, provider methods, drafts and rules, in the words of the people who write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from payadmin.actions import checkout
from payadmin.db import db, utcnow
from payadmin.models.checkout import CheckoutRule, CheckoutRuleset, ProviderMethod
from payadmin.permissions import Role, permissions_of
from payadmin.queries.checkout import active_id
from payadmin.work import Actor
from tests.support.make import Make, writing
from tests.support.signin import make_staff

WEB: Mapping[str, Any] = {"key": "channel", "operator": "equal", "value": "WEB"}
API: Mapping[str, Any] = {"key": "channel", "operator": "equal", "value": "API"}
CARD: Mapping[str, str] = {"provider": "simulator", "method": "card"}
PAYPAL: Mapping[str, str] = {"provider": "simulator", "method": "paypal"}
WIRE: Mapping[str, str] = {"provider": "bank", "method": "wire"}


def over(minor: int, unit: str = "EUR") -> dict[str, Any]:
    """The condition that the amount is more than this."""
    return {"key": "amount", "operator": "greater_than", "value": {"amount_minor": minor, "unit": unit}}


class Counter:
    """Everything a test of checkout rules does."""

    def __init__(self, app: Flask, make: Make) -> None:
        self.app = app
        self.make = make
        for unit in ("EUR", "USD"):
            make.unit(unit)
        for provider, method in (("simulator", "card"), ("simulator", "paypal"), ("bank", "wire")):
            make.method(method)
            make._save(ProviderMethod(provider=provider, method=method))
        self.admin = self.person(Role.ADMIN)

    def person(self, *roles: Role) -> Actor:
        """Somebody with an account."""
        writing()
        staff = make_staff(*roles)
        granted = frozenset(roles)
        return Actor(staff_id=staff.id, name=staff.username, roles=granted, permissions=permissions_of(granted))

    def disable(self, provider: str, method: str, *, enabled: bool = False) -> None:
        """Switch a pair, behind everybody's back."""
        writing()
        found = (ProviderMethod.provider == provider, ProviderMethod.method == method)
        statement = update(ProviderMethod).where(*found).values(is_enabled=enabled)
        db.session.execute(statement.execution_options(explained=True))
        db.session.commit()

    def draft(self, base_id: int | None = None) -> int:
        """A new draft."""
        return int(checkout.start_draft(self.admin, base_id=base_id).id)

    def rule(
        self,
        draft_id: int,
        name: str,
        priority: int | None = None,
        conditions: Sequence[Mapping[str, Any]] = (WEB,),
        methods: Sequence[Mapping[str, str]] = (CARD,),
        **more: Any,
    ) -> int:
        """A rule of a draft, saved as somebody does."""
        given = [] if name == "default" else list(conditions)
        row = checkout.save_rule(
            self.admin, draft_id, name=name, priority=priority, conditions=given, methods=list(methods), **more
        )
        return int(row.id)

    def activate(self, draft_id: int, *, actor: Actor | None = None, **values: Any) -> CheckoutRuleset:
        """Activate a draft as somebody does who has looked at it."""
        found = self.ruleset(draft_id)
        seen = {"version": found.version, "replaces_id": active_id(db.session())} | values
        db.session.rollback()
        return checkout.activate_ruleset(actor or self.admin, draft_id, **seen)  # type: ignore[no-any-return]

    def active(self, *rules: tuple[str, Sequence[Mapping[str, Any]], Sequence[Mapping[str, str]]]) -> int:
        """An active version with these rules, in this order."""
        draft_id = self.draft()
        for name, conditions, methods in rules:
            self.rule(draft_id, name, None, conditions, methods)
        self.activate(draft_id)
        return draft_id

    def ruleset(self, ruleset_id: int) -> CheckoutRuleset:
        """A version as it is now."""
        db.session.rollback()
        return db.session.get_one(CheckoutRuleset, ruleset_id, populate_existing=True)

    def order(self, ruleset_id: int) -> list[tuple[str, int | None]]:
        """The rules of a version and their priorities, in order."""
        db.session.rollback()
        found = select(CheckoutRule.name, CheckoutRule.priority).where(CheckoutRule.ruleset_id == ruleset_id)
        rows = db.session.execute(found).all()
        return sorted(((row.name, row.priority) for row in rows), key=lambda row: (row[1] is None, row[1] or 0))

    def id_of(self, ruleset_id: int, name: str) -> int:
        """The number of a rule."""
        found = select(CheckoutRule.id).where(CheckoutRule.ruleset_id == ruleset_id, CheckoutRule.name == name)
        row_id = db.session.scalars(found).one()
        db.session.rollback()
        return row_id

    def paid(self, minor: int, unit: str = "EUR", **values: Any) -> int:
        """A payment of a few minutes ago."""
        return int(self.make.payment(amount_minor=minor, unit=unit, created_at=utcnow(), **values).id)
