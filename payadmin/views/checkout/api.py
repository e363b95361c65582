"""`POST /api/v1/checkout/methods`: what a checkout is to offer, asked by the shop while its customer waits."""

from typing import Any

from payadmin.db import db
from payadmin.kernel.conditions import LONGEST_TEXT, Amount, Fact, Wrong, read_fact
from payadmin.kernel.documents import a_text, a_whole, optional, record
from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.permissions import ApiScope
from payadmin.queries.checkout import offer_for, registry_of
from payadmin.views.api import Call, endpoint

CHECKOUT = record(
    amount_minor=a_whole(least=1, most=MAX_MINOR),
    unit=a_text(12),
    channel=a_text(LONGEST_TEXT),
    user_type=optional(a_text(LONGEST_TEXT)),
    product_category=optional(a_text(LONGEST_TEXT)),
    payment_type=optional(a_text(LONGEST_TEXT)),
)


@endpoint("POST", "/checkout/methods", scope=ApiScope.CHECKOUT_READ, body=CHECKOUT)
def checkout_methods(call: Call) -> dict[str, Any]:
    """Say which payment methods a checkout offers, by the active version of the rules; nothing is changed."""
    registry = registry_of(db.session())
    body = call.body
    facts: dict[str, Fact | None] = {}
    wrong: list[tuple[str, str]] = []
    if body["unit"] not in registry.scales:
        wrong.append(("#/unit", "This is not a known currency."))
    else:
        facts["amount"] = Amount(body["amount_minor"], body["unit"])
    for key in registry.keys.values():
        if (given := body.get(key.name)) is None:
            continue
        try:
            facts[key.name] = read_fact(given, key, registry)
        except Wrong as mistake:
            wrong.append((f"#/{key.name}", mistake.sentence))
    if wrong:
        raise Invalid("The document is not as it should be. Nothing was changed.", errors=wrong)
    offer = offer_for(db.session(), facts, registry)
    rule = offer.decision.rule
    return {
        "rule": rule.name if rule is not None else None,
        "version": offer.ruleset_id,
        "methods": [pair.as_json() for pair in offer.decision.methods],
    }
