"""The 28 templates: golden vectors for each, and no amount for which one would not balance."""

import csv
import inspect
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payadmin.ledger import recipes
from payadmin.ledger.chart import CHART, Account, hold, wallet
from payadmin.ledger.recipes import TEMPLATES, TITLES, Leg, Recipe, Unbalanced

pytestmark = pytest.mark.once
GOLDEN = Path(__file__).parents[1] / "golden" / "journals.csv"
TEXTS = {"unit": "EUR", "sold_unit": "EUR", "bought_unit": "JPY"}


def vectors() -> list[dict[str, str]]:
    with GOLDEN.open(newline="") as file:
        return list(csv.DictReader(file))


def built(name: str, given_values: dict[str, object]) -> Recipe:
    if name == "J26":
        inner = dict(given_values)
        return recipes.executed(TEMPLATES[str(inner.pop("of"))](**inner))
    found: Recipe = TEMPLATES[name](**given_values)
    return found


@pytest.mark.parametrize("row", vectors(), ids=lambda row: f"{row['template']} {row['case']}")
def test_a_template_makes_the_legs_that_the_table_says(row: dict[str, str]) -> None:
    recipe = built(row["template"], json.loads(row["given"]))
    legs = [f"{'debit' if leg.minor > 0 else 'credit'} {leg.account.code} {abs(leg.minor)}" for leg in recipe.legs]
    assert recipe.template == row["template"]
    assert "; ".join(legs) == row["legs"]


def test_every_template_stands_in_the_table_and_in_the_chart() -> None:
    assert list(TEMPLATES) == list(TITLES) == [*(f"J{number:02}" for number in range(1, 29)), "J00"]
    assert {row["template"] for row in vectors()} == set(TITLES)
    used = {leg.split()[1].split(":")[0] for row in vectors() for leg in row["legs"].split("; ")}
    assert set(CHART) == used


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_no_amounts_make_a_template_that_does_not_balance(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(TEMPLATES) - {"J26"})))
    values: dict[str, object] = {}
    for parameter in inspect.signature(TEMPLATES[name]).parameters.values():
        match parameter.name:
            case "unit" | "sold_unit" | "bought_unit":
                values[parameter.name] = TEXTS[parameter.name]
            case "from_owner" | "is_less":
                values[parameter.name] = data.draw(st.booleans())
            case "provider" | "desk" | "merchant" | "owner" | "payer" | "payee":
                values[parameter.name] = f"{parameter.name}:1"
            case _:
                values[parameter.name] = data.draw(st.integers(min_value=-5, max_value=10**14))
    try:
        recipe: Recipe = TEMPLATES[name](**values)
    except Unbalanced:
        amounts = [value for value in values.values() if type(value) is int]
        assert any(value <= 0 for value in amounts) or max(amounts) >= min(amounts)
        return
    for unit in {leg.account.unit for leg in recipe.legs}:
        assert sum(leg.minor for leg in recipe.legs if leg.account.unit == unit) == 0
    assert [leg.minor for leg in recipe.reversed().legs] == [-leg.minor for leg in recipe.legs]
    assert recipe.reversed().reversed() == recipe


A, B = wallet("organization:1", "EUR"), wallet("organization:2", "EUR")


@pytest.mark.parametrize(
    "legs",
    [
        (),
        (Leg(A, 5),),
        (Leg(A, 5), Leg(B, -4)),
        (Leg(A, 5), Leg(A, -5)),
        (Leg(A, 0), Leg(B, 0)),
        (Leg(A, 5), Leg(wallet("organization:2", "JPY"), -5)),
        (Leg(A, 10**16), Leg(B, -(10**16))),
        (Leg(A, True), Leg(B, -1)),
        (Leg(A, 1.5), Leg(B, -1.5)),  # type: ignore[arg-type]
    ],
)
def test_legs_that_are_no_journal_cannot_be_built(legs: tuple[Leg, ...]) -> None:
    with pytest.raises(Unbalanced):
        Recipe("J22", legs)


def test_a_template_that_nobody_knows_cannot_be_built() -> None:
    with pytest.raises(Unbalanced):
        Recipe("J29", (Leg(A, 5), Leg(B, -5)))


def test_a_transfer_to_itself_cannot_be_built() -> None:
    with pytest.raises(Unbalanced):
        recipes.transfer(unit="EUR", payer="organization:1", payee="organization:1", amount=5)


def test_what_waited_is_taken_from_what_was_set_aside() -> None:
    what = recipes.transfer(unit="EUR", payer="customer:1", payee="customer:2", amount=100, commission=3)
    assert recipes.executed(what).legs[0] == Leg(hold("customer:1", "EUR"), 103)


@pytest.mark.parametrize(
    ("number", "unit", "owner"),
    [
        ("2222", "EUR", ""),
        ("2010", "EUR", ""),
        ("1010", "EUR", "organization:1"),
        ("1010", "", ""),
        ("2010", "EUR", "x" * 65),
    ],
)
def test_an_account_that_the_chart_does_not_know_cannot_be_named(number: str, unit: str, owner: str) -> None:
    with pytest.raises(ValueError, match=r"account|owner"):
        Account(number, unit, owner)
