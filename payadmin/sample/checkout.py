"""The demo's checkout rules: a version that decides, and a draft with something to find in it."""

from typing import Any

from sqlalchemy import select

from payadmin.actions.checkout import activate_ruleset, save_rule, start_draft
from payadmin.db import db
from payadmin.models.checkout import CheckoutRuleset
from payadmin.reference import add_pairs
from payadmin.work import SYSTEM

PROVIDER = "simulator"
UNIT = "GBP"


def _is(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "equal", "value": value}


def _amount(operator: str, minor: int) -> dict[str, Any]:
    return {"key": "amount", "operator": operator, "value": {"amount_minor": minor, "unit": UNIT}}


_ACTIVE: tuple[tuple[str, int | None, list[dict[str, Any]], tuple[str, ...]], ...] = (
    ("large-amounts", 10, [_amount("greater_or_equal_than", 5_000_00)], ("BANK_TRANSFER", "VISA")),
    ("call-centre", 20, [_is("channel", "CALL_CENTRE")], ("VISA", "MASTERCARD")),
    ("mobile-small", 30, [_is("channel", "MOBILE_APP"), _amount("less_than", 200_00)], ("APPLE_PAY", "VISA", "PAYPAL")),
    ("business", 40, [_is("user_type", "MERCHANT")], ("BANK_TRANSFER", "VISA", "AMEX")),
    ("default", None, [], ("VISA", "MASTERCARD", "PAYPAL")),
)
_IN_DRAFT: tuple[tuple[str, int | None, list[dict[str, Any]], tuple[str, ...]], ...] = (
    ("web-no-amex", 25, [{"key": "channel", "operator": "in", "value": ["WEB", "MOBILE_APP"]}], ("PAYPAL", "VISA")),
    ("mobile-tiny", 35, [_is("channel", "MOBILE_APP"), _amount("less_than", 10_00)], ("APPLE_PAY",)),
)


def set_rules() -> int:
    """Write the demo's rules unless there are any already; how many were written."""
    if db.session.scalar(select(CheckoutRuleset.id).limit(1)) is not None:
        return 0
    db.session.rollback()
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        add_pairs(connection)
    active_id = start_draft(SYSTEM, note="Rules of the demo").id
    _write(active_id, _ACTIVE)
    version = db.session.get_one(CheckoutRuleset, active_id, populate_existing=True).version
    activate_ruleset(SYSTEM, active_id, version=version, replaces_id=None)
    _write(start_draft(SYSTEM, base_id=active_id, note="PayPal first on the web").id, _IN_DRAFT)
    return len(_ACTIVE) + len(_IN_DRAFT)


def _write(ruleset_id: int, rules: tuple[tuple[str, int | None, list[dict[str, Any]], tuple[str, ...]], ...]) -> None:
    for name, priority, conditions, methods in rules:
        offered = [{"provider": PROVIDER, "method": method} for method in methods]
        save_rule(SYSTEM, ruleset_id, name=name, priority=priority, conditions=conditions, methods=offered)
