"""Customers by phone, e-mail and user name: by the whole and by the beginning, each by an index (TK2)."""

import pytest
from sqlalchemy import insert, select, text

from payadmin.db import db
from payadmin.kernel.phones import phone_key, spellings
from payadmin.models.parties import Customer
from payadmin.queries.support import _looks, find_customers
from tests.support.conftest import Care
from tests.support.make import Make, writing


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("+44 7700 900123", "+447700900123"),
        ("0044 (0)7700-900.123", "+447700900123"),
        ("+44 (0) 7700 900 123", "+447700900123"),
        ("07700 900123", "07700900123"),
        ("ring me", None),
        ("+44 7700 x 1", None),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.once
def test_a_number_is_kept_as_digits(written: str | None, key: str | None) -> None:
    assert phone_key(written) == key


@pytest.mark.once
def test_a_number_without_its_country_is_the_same_as_with_it() -> None:
    assert set(spellings("07700 900123", "44")) == {"07700900123", "+447700900123"}
    assert set(spellings("+44 7700 900123", "44")) == {"07700900123", "+447700900123"}
    assert spellings("+39 333 1", "44") == ("+393331",)


def found(term: str, country: str = "44") -> set[str]:
    return {row.external_id for row in find_customers(db.session(), term, country=country).rows}


def test_customers_are_found_by_whole_and_by_beginning(make: Make) -> None:
    make.customer(external_id="A", phone="+44 7700 900123", email="Ann@Example.com", username="ann.w")
    make.customer(external_id="B", phone="0044 7700 900-123", email="bob@example.com", username="BobBy")
    make.customer(external_id="C", phone="07700 900124", email="carl@example.com", username="carl")
    assert found("07700 900123") == {"A", "B"}, "the same phone twice shows both"
    assert found("+447700900123") == {"A", "B"}
    assert found("+44 7700 9001") == {"A", "B", "C"}
    assert found("ANN@example.COM") == {"A"}
    assert found("ann@ex") == {"A"}
    assert found("bobby") == {"B"}
    assert found("bob") == {"B"}
    assert found("C") == {"C"}
    assert found("c") == {"C"}, "one letter finds a whole Customer ID, not what begins with it"
    assert found("+44") == found("a") - {"A"} == found("%") == found("") == set()


def test_what_is_looked_up_follows_every_write(make: Make) -> None:
    customer = make.customer(external_id="A", phone="+44 1", email=None, username=None)
    row_id = customer.id
    writing()
    row = db.session.get_one(Customer, row_id)
    row.phone, row.email = "+44 7700 900555", "New@Example.com"
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    assert (found("+447700900555"), found("new@example.com")) == ({"A"}, {"A"})
    writing()
    many = [{"external_id": f"M{n}", "name": "Many", "phone": f"+44 20 {n:07}"} for n in range(3)]
    db.session.execute(insert(Customer.__table__).execution_options(explained=True), many)
    db.session.commit()
    assert found("+4420000000") == {"M0", "M1", "M2"}


def test_more_than_a_page_is_said(make: Make) -> None:
    for number in range(22):
        make.customer(username=f"many{number}")
    few = find_customers(db.session(), "many")
    assert (len(few.rows), few.is_cut) == (20, True)


def test_each_look_up_uses_an_index(care: Care, dialect: str) -> None:
    for _number in range(5):
        care.customer(username=f"user{_number}")
    db.session.rollback()
    if dialect == "postgresql":
        db.session.execute(text("SET LOCAL enable_seqscan = off"))
    for term in ("+44 7700 900123", "07700 900123", "ann@example.com", "ann.winter", "x1"):
        for look in _looks(term, "44"):
            compiled = look.limit(21).compile(db.session.get_bind(), compile_kwargs={"literal_binds": True})
            explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
            plan = " ".join(str(row) for row in db.session.execute(text(explain + str(compiled).replace(":", "\\:"))))
            assert "ix_customer_" in plan or "external_id" in plan, plan
            assert "SCAN customer" not in plan or "USING" in plan
    assert db.session.scalar(select(Customer.id).limit(1)) is not None
