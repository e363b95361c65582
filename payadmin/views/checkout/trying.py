"""The test panel: enter a payment, and see which rule decides, why the others do not, and what is offered."""

from typing import Any

from flask import request

from payadmin.db import db
from payadmin.kernel.checkout import Verdict
from payadmin.kernel.conditions import Facts, value_words, words_of
from payadmin.kernel.text import _
from payadmin.models.payments import Mode, Payment
from payadmin.permissions import Permission
from payadmin.queries.checkout import facts_of, payment_facts
from payadmin.views import periods
from payadmin.views.checkout.shown import Board, Shelf
from payadmin.views.conditions import asked_facts, fact_texts, read_facts
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

# A version of many rules would make the panel longer than anybody reads.
JUDGED_MOST = 50
LONGEST_REFERENCE = 64


def panel(shelf: Shelf, board: Board) -> dict[str, Any]:
    """What the form of facts and the verdict below it need; no verdict until enough is entered."""
    registry = shelf.registry
    reference = request.args.get("payment", "").strip()[:LONGEST_REFERENCE]
    entered = any(name.startswith("f-") and value for name, value in request.args.items(multi=True))
    facts: Facts = {}
    problems: dict[str, str] = {}
    paid_by = None
    may_look_up = current_actor().may(Permission.PAYMENTS_PAYMENT_READ)
    if reference and may_look_up:
        found = _payment(reference)
        if found is None:
            problems["payment"] = _("There is no payment with this transaction ID.")
        else:
            facts, paid_by = facts_of(found), (found.provider, found.method)
    elif entered:
        facts, problems = read_facts(request.args, registry)
    texts = fact_texts(facts, registry)
    if not (reference and facts):
        texts = {name[2:]: value for name, value in request.args.items() if name.startswith("f-")} | texts
    texts.setdefault("amount-unit", periods.usual(Mode.LIVE).unit)
    return {
        "fact_keys": asked_facts(registry),
        "fact_texts": texts,
        "fact_problems": problems,
        "reference": reference,
        "may_look_up": may_look_up,
        "units": list(registry.scales),
        "verdict": _verdict(shelf, board, facts, paid_by) if facts and not problems else None,
    }


def _payment(reference: str) -> Any:
    found = payment_facts().where(Payment.transaction_id == reference, Payment.mode == Mode[current_mode()])
    return db.session.execute(found.limit(1)).one_or_none() if reference.isprintable() else None


def _verdict(shelf: Shelf, board: Board, facts: Facts, paid_by: tuple[str, str] | None) -> dict[str, Any]:
    registry = shelf.registry
    decision = board.rules.decide(facts, shelf.known.enabled)
    judged = board.rules.explain(facts)
    steps = [_step(shelf, verdict, facts) for verdict in judged]
    decided = next((place for place, verdict in enumerate(judged) if verdict.matches), len(judged))
    before = steps[:decided]
    return {
        "rule": decision.rule,
        "offers": shelf.offered(decision.rule.methods) if decision.rule else [],
        "is_empty": not decision.methods,
        "facts": [
            (key.label, value_words(fact, key, registry))
            for key in registry.keys.values()
            if (fact := registry.fact(facts, key.name)) is not None
        ],
        "steps": before[:JUDGED_MOST],
        "more": max(len(before) - JUDGED_MOST, 0),
        "after": max(len(judged) - decided - 1, 0),
        "paid_by": paid_by and ":".join(paid_by),
        "keeps_method": paid_by is None or paid_by in decision.methods,
    }


def _step(shelf: Shelf, verdict: Verdict, facts: Facts) -> dict[str, Any]:
    registry = shelf.registry
    failed = []
    for condition in verdict.failed:
        key = registry.keys.get(condition.key)
        fact = registry.fact(facts, condition.key) if key is not None else None
        got = _("not given") if fact is None else value_words(fact, key, registry)
        failed.append((words_of(condition, registry), got))
    return {"rule": verdict.rule, "failed": failed}
