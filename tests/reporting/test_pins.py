"""My figures: pinned views have the numbers of their lists, nothing wider or unbounded, and go with their view."""

import csv
import datetime as dt
import html
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from payadmin.actions import saved_views
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, NotFound
from payadmin.models.payments import Mode, PaymentStatus
from payadmin.models.system import PinKind, SavedView, UserPreference
from payadmin.permissions import Role, permissions_of
from payadmin.views import lists
from payadmin.views.reporting import pins
from payadmin.work import Actor
from tests.support.make import Make

Browse = Callable[..., Any]
S = PaymentStatus
ADDRESS = "/my-figures/"


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


def days_ago(days: int) -> dt.datetime:
    return utcnow() - dt.timedelta(days=days)


def save(client: FlaskClient, name: str, query: str = "", page: str = "/transactions/", **more: Any) -> int:
    """A saved view of a list; its id."""
    answer = client.post(f"{page}views/", data={"op": "save", "name": name, "list": query} | more)
    assert answer.status_code == 303, answer.text
    db.session.rollback()
    return int(db.session.query(SavedView).filter_by(name=name).one().id)


def pin(client: FlaskClient, view_id: int, op: str = "card", **more: Any) -> Any:
    return client.post(ADDRESS, data={"op": op, "id": view_id} | more)


def cards(client: FlaskClient) -> dict[str, tuple[str, str, str]]:
    """Each card by its name: the count, the sums, and the list behind it."""
    page = client.get(ADDRESS)
    assert page.status_code == 200, page.text
    found = {}
    for part in re.findall(r'<section class="card kpi pin".*?</section>', page.text, re.DOTALL):
        name = re.search(r'<h2 class="l"[^>]*>(.*?)</h2>', part)
        link = re.search(r'<div class="v num"><a href="([^"]+)">([^<]+)</a>', part)
        assert name
        sums = [re.sub(r"<[^>]+>", "", each) for each in re.findall(r'<div class="num">(.*?)</div>', part)]
        count, url = (link[2], html.unescape(link[1])) if link else ("", "")
        found[html.unescape(name[1])] = (count, ", ".join(sums), url)
    return found


def rows_of(client: FlaskClient, url: str) -> str:
    found = re.search(r"data-announce>\s*([\d,]+) ", client.get(url).text)
    assert found, "the list says no number"
    return found[1]


def some(make: Make) -> None:
    customer, merchant = make.customer().id, make.organization().id
    for day, minor, status, more in (
        (1, 30_00, S.FAILED, {}),
        (1, 50_00, S.FAILED, {}),
        (2, 20_00, S.PAID, {}),
        (3, 7_000, S.FAILED, {"unit": "JPY"}),
        (90, 10_00, S.FAILED, {}),
        (1, 99_00, S.FAILED, {"mode": Mode.TEST}),
    ):
        make.payment(
            created_at=days_ago(day), amount_minor=minor, status=status, customer_id=customer, merchant_id=merchant,
            **more,
        )  # fmt: skip


def test_a_card_has_the_count_and_the_sums_of_its_list_and_leads_there(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.PAYMENTS_OPERATOR)
    assert pin(client, save(client, "Failed", "status=FAILED")).status_code == 303
    pin(client, save(client, "All"))
    found = cards(client)
    assert list(found) == ["Failed", "All"]
    count, sums, url = found["Failed"]
    assert (count, sums) == ("4", "90.00 EUR, 7,000 JPY")
    assert rows_of(client, url) == "4"
    assert found["All"][0] == "5"
    client.post("/mode", data={"mode": "TEST"})
    assert cards(client)["Failed"][:2] == ("1", "99.00 EUR")


def test_a_list_without_amounts_has_no_sum(make: Make, browse: Browse) -> None:
    make.customer()
    client = browse(Role.PAYMENTS_OPERATOR)
    pin(client, save(client, "People", page="/customers/"))
    assert cards(client)["People"][:2] == ("1", "")


def test_a_chart_has_the_rows_of_each_day_and_their_sums(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "Failed", "status=FAILED")
    pin(client, view_id, "chart")
    page = client.get(ADDRESS).text
    assert f'id="chart-view-{view_id}"' in page
    assert client.get(f"/charts/my-figures/pinned.json?view={view_id}").mimetype == "application/json"
    answer = client.get(f"/charts/my-figures/pinned.csv?view={view_id}")
    head, *lines = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert head[:2] == ["Day", "Rows"]
    assert [each.rpartition("(")[2] for each in head[2:]] == ["EUR)", "JPY)"]
    assert len(lines) == 30
    assert sum(int(line[1]) for line in lines) == 3  # not the one of ninety days ago
    assert max(line[2] for line in lines) == "80.00"


def test_a_chart_of_rows_that_are_all_older_ends_with_the_last_of_them(make: Make, browse: Browse) -> None:
    make.payment(created_at=days_ago(400))
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "All")
    pin(client, view_id, "chart")
    answer = client.get(f"/charts/my-figures/pinned.csv?view={view_id}")
    lines = list(csv.reader(io.StringIO(answer.text)))[1:]
    assert (len(lines), lines[-1][1]) == (30, "1")


def test_a_view_without_rows_says_there_is_nothing_to_draw(browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "None", "status=FAILED")
    pin(client, view_id, "chart")
    pin(client, view_id)
    page = client.get(ADDRESS)
    assert "No days to draw" in page.text
    assert cards(client)["None"][:2] == ("0", "")


def test_no_more_rows_are_looked_at_than_the_cap(make: Make, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    some(make)
    for module in (pins, lists):
        monkeypatch.setattr(module, "COUNT_CAP", 2)
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "Failed", "status=FAILED")
    pin(client, view_id)
    pin(client, view_id, "chart")
    assert cards(client)["Failed"][:2] == ("2+", "")
    assert "narrow the view" in client.get(ADDRESS).text
    lines = list(csv.reader(io.StringIO(client.get(f"/charts/my-figures/pinned.csv?view={view_id}").text)))[1:]
    # Three rows were looked at; the earliest of their days may have more.
    assert sum(int(line[1]) for line in lines) == 2
    assert len(lines) < 30


def test_a_pin_goes_with_its_view(make: Make, browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id, other = save(client, "Failed", "status=FAILED"), save(client, "All")
    for each in (view_id, other):
        pin(client, each)
        pin(client, each, "chart")
    client.post("/transactions/views/", data={"op": "delete", "id": view_id})
    assert list(cards(client)) == ["All"]
    assert client.get(f"/charts/my-figures/pinned.json?view={view_id}").status_code == 404
    client.post("/transactions/views/", data={"op": "delete", "id": other})
    assert db.session.query(UserPreference).filter_by(name="pins").count() == 0
    assert "No figures yet" in client.get(ADDRESS).text


def test_pins_are_moved_and_taken_away(browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    ids = [save(client, name) for name in ("A", "B", "C")]
    for view_id in ids:
        pin(client, view_id)
    pin(client, ids[0], "chart")
    pin(client, ids[2], "earlier", kind="card")
    assert list(cards(client)) == ["A", "C", "B"]
    pin(client, ids[0], "later", kind="card")
    assert list(cards(client)) == ["C", "A", "B"]
    pin(client, ids[2], "earlier", kind="card")  # the first stays the first
    pin(client, ids[0], "unpin", kind="card")
    assert list(cards(client)) == ["C", "B"]
    assert f'id="h-view-{ids[0]}"' in client.get(ADDRESS).text  # the chart stays
    pin(client, ids[0], "unpin", kind="chart")
    pin(client, ids[0], "unpin", kind="chart")
    assert f'id="h-view-{ids[0]}"' not in client.get(ADDRESS).text


def test_a_shared_view_shows_each_reader_their_own_rows_until_it_is_withdrawn(make: Make, browse: Browse) -> None:
    owner, reader = browse(Role.PAYMENTS_OPERATOR), browse(Role.PAYMENTS_OPERATOR)
    view_id = save(owner, "Failed", "status=FAILED", shared_with="PAYMENTS_OPERATOR")
    assert pin(reader, view_id).status_code == 303
    assert list(cards(reader)) == ["Failed"]
    assert list(cards(owner)) == []
    owner.post("/transactions/views/", data={"op": "edit", "id": view_id, "name": "Failed", "shared_with": ""})
    assert list(cards(reader)) == []
    assert pin(reader, view_id, "chart").status_code == 404


def test_what_is_not_theirs_cannot_be_pinned(browse: Browse) -> None:
    owner, other = browse(Role.PAYMENTS_OPERATOR), browse(Role.CFO)
    view_id = save(owner, "Failed", "status=FAILED")
    assert pin(other, view_id).status_code == 404
    for wrong in ("0", "-1", "abc", "9" * 40, ""):
        assert other.post(ADDRESS, data={"op": "card", "id": wrong}).status_code == 404
    assert other.post(ADDRESS, data={"op": "dance", "id": view_id}).status_code == 400
    pin(owner, view_id, "chart")
    assert other.get(f"/charts/my-figures/pinned.json?view={view_id}").status_code == 404
    for query in ("", "?view=x", f"?view={view_id}&view=1", f"?view={view_id}&unit=EUR"):
        assert owner.get(f"/charts/my-figures/pinned.json{query}").status_code == 400


@pytest.mark.parametrize("role", [Role.FINANCIAL_SPECIALIST, Role.CASHIER, Role.ACCOUNTANT])
def test_roles_without_lists_have_no_figures(browse: Browse, role: Role) -> None:
    client = browse(role)
    assert client.get(ADDRESS).status_code == 403
    assert pin(client, 1).status_code == 403
    assert client.get("/charts/my-figures/pinned.json?view=1").status_code == 403
    assert ADDRESS not in client.get("/").text


def test_a_list_that_menu_access_takes_away_shows_nothing_of_its_figures(make: Make, browse: Browse) -> None:
    some(make)
    owner = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(owner, "Failed", "status=FAILED", shared_with="PAYMENTS_OPERATOR")
    reader = browse(Role.PAYMENTS_OPERATOR, username="narrow", menu_access=["customers", "my-figures"])
    assert pin(reader, view_id).status_code == 404
    staff_id = db.session.scalars(db.text("SELECT id FROM staff_user WHERE username = 'narrow'")).one()
    db.session.add(UserPreference(staff_id=staff_id, name="pins", value={"pins": [[view_id, "CARD"]]}))
    db.session.commit()
    assert cards(reader) == {}


def test_a_view_that_no_longer_fits_its_list_says_so_and_counts_nothing(make: Make, browse: Browse) -> None:
    some(make)
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "Old", "status=FAILED")
    pin(client, view_id)
    pin(client, view_id, "chart")
    db.session.query(SavedView).filter_by(id=view_id).update({"query": "status=GONE"})
    db.session.commit()
    assert cards(client)["Old"] == ("", "", "")
    assert client.get(ADDRESS).text.count("No longer fits its list") == 2
    assert client.get(f"/charts/my-figures/pinned.json?view={view_id}").status_code == 404


def test_names_are_text(make: Make, browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "<script>alert(1)</script> & {{7*7}}")
    pin(client, view_id)
    pin(client, view_id, "chart")
    page = client.get(ADDRESS).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_manager_of_views_offers_to_pin_to_those_who_have_figures(browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    save(client, "Failed", "status=FAILED")
    page = client.get("/transactions/views/").text
    assert "Pin as a card" in page
    assert "Pin as a chart" in page
    narrow = browse(Role.PAYMENTS_OPERATOR, menu_access=["transactions"])
    save(narrow, "Mine", "status=FAILED")
    assert "Pin as a card" not in narrow.get("/transactions/views/").text


def staff(make: Make, *roles: Role, name: str) -> Actor:
    make.browse(*roles, username=name)
    staff_id = db.session.scalars(db.text(f"SELECT id FROM staff_user WHERE username = '{name}'")).one()
    return Actor(staff_id, name, frozenset(roles), permissions_of(roles))


def view_of(actor: Actor, name: str, **more: Any) -> int:
    return int(saved_views.save_view(actor, "transactions", name=name, query="", columns=None, **more))


def test_pinning_twice_is_pinning_once_and_twelve_are_the_most(make: Make) -> None:
    actor = staff(make, Role.PAYMENTS_OPERATOR, name="pia")
    ids = [view_of(actor, f"View {number}") for number in range(saved_views.MOST_PINS + 1)]
    for view_id in ids[:-1]:
        saved_views.pin_view(actor, view_id, kind=PinKind.CARD)
        saved_views.pin_view(actor, view_id, kind=PinKind.CARD)
    with pytest.raises(Conflict):
        saved_views.pin_view(actor, ids[-1], kind=PinKind.CARD)
    saved_views.delete_view(actor, ids[0])
    saved_views.pin_view(actor, ids[-1], kind=PinKind.CARD)
    kept = db.session.query(UserPreference).filter_by(staff_id=actor.staff_id, name="pins").one()
    assert [view_id for view_id, _kind in saved_views.pins_in(kept.value)] == ids[1:]


def test_only_people_with_figures_pin_and_only_what_they_may_see(make: Make) -> None:
    owner, other = staff(make, Role.CFO, name="ada"), staff(make, Role.PAYMENTS_OPERATOR, name="bob")
    view_id = view_of(owner, "Hers")
    with pytest.raises(NotFound):
        saved_views.pin_view(other, view_id, kind=PinKind.CHART)
    saved_views.unpin_view(other, view_id, kind=PinKind.CHART)
    saved_views.move_pin(other, view_id, kind=PinKind.CHART, earlier=True)
    assert db.session.query(UserPreference).filter_by(name="pins").count() == 0
    with pytest.raises(Forbidden):
        saved_views.pin_view(staff(make, Role.FINANCIAL_SPECIALIST, name="fay"), view_id, kind=PinKind.CARD)


def test_the_questions_do_not_grow_with_the_rows(make: Make, browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    view_id = save(client, "All")
    pin(client, view_id)
    pin(client, view_id, "chart")
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    def questions() -> int:
        asked.clear()
        assert client.get(ADDRESS).status_code == 200
        return len(asked)

    make.payment()
    questions()
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        few = questions()
        for days in range(12):
            make.payment(created_at=days_ago(days))
        assert questions() == few
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
