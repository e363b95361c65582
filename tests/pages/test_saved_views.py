"""Saved views and columns of one's own: kept by name, shared with a role, never wider than the viewer's rights."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.actions import saved_views
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import PaymentStatus
from payadmin.models.system import SavedView, UserPreference
from payadmin.permissions import Role, permissions_of
from payadmin.work import Actor
from tests.support.make import Make

LIST = "/transactions/"


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


def staff(make: Make, *roles: Role, name: str) -> Actor:
    """A person with an account, and a browser beside it where a test needs one."""
    make.browse(*roles, username=name)
    staff_id = db.session.scalars(db.text(f"SELECT id FROM staff_user WHERE username = '{name}'")).one()
    return Actor(staff_id, name, frozenset(roles), permissions_of(roles))


def save(client: FlaskClient, name: str = "Failed ones", query: str = "status=FAILED", **more: Any) -> Any:
    form = {"op": "save", "name": name, "list": query} | more
    return client.post(f"{LIST}views/", data=form, follow_redirects=True)


def view_named(name: str) -> SavedView:
    db.session.rollback()
    return db.session.query(SavedView).filter_by(name=name).one()


def heads(page: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", head).strip() for head in re.findall(r'<th scope="col".*?</th>', page)]


def test_a_view_brings_filters_sort_and_columns_back(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment(transaction_id="GOOD")
    make.payment(transaction_id="BAD", status=PaymentStatus.FAILED)
    client.post(f"{LIST}columns/", data={"column": ["transaction_id", "provider"]})
    page = save(client, query="status=FAILED&sort=created_at")
    assert page.request.query_string.startswith(b"status=FAILED&sort=created_at&view=")
    assert ">BAD<" in page.text
    assert ">GOOD<" not in page.text
    client.post(f"{LIST}columns/", data={"column": ["status"]})  # outside the view: the view keeps its own
    view = view_named("Failed ones")
    again = client.get(f"{LIST}views/{view.id}/", follow_redirects=True)
    assert heads(again.text)[:2] == ["Transaction ID", "Provider"]
    assert heads(client.get(LIST).text)[:1] == ["Status"]


def test_columns_chosen_within_a_view_belong_to_it_and_keep_their_order(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment()
    save(client)
    view = view_named("Failed ones")
    client.post(f"{LIST}columns/", data={"view": view.id, "column": ["amount", "status", "transaction_id"]})
    assert heads(client.get(f"{LIST}?view={view.id}").text)[:3] == ["Amount", "Status", "Transaction ID"]
    assert heads(client.get(LIST).text)[0] == "Status"
    form = {"view": view.id, "column": ["amount", "status", "transaction_id"], "move": "status:up"}
    client.post(f"{LIST}columns/", data=form)
    assert heads(client.get(f"{LIST}?view={view.id}").text)[:2] == ["Status", "Amount"]
    client.post(f"{LIST}columns/", data={"view": view.id, "reset": "1"})
    assert db.session.query(UserPreference).filter(UserPreference.name.like("columns:%")).count() == 0


def test_an_export_from_a_view_has_its_columns(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment(transaction_id="T-1")
    client.post(f"{LIST}columns/", data={"column": ["provider", "transaction_id"]})
    save(client, query="status=PAID")
    client.post(f"{LIST}columns/", data={"reset": "1"})
    view = view_named("Failed ones")
    file = client.get(f"{LIST}export/csv/?status=PAID&view={view.id}").text
    assert file.splitlines()[0].lstrip("\ufeff") == "Provider,Transaction ID"


def test_what_comes_first_is_ones_own_choice_then_the_roles(make: Make) -> None:
    admin = make.browse(Role.ADMIN, Role.PAYMENTS_OPERATOR)
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment()
    shared = {"shared_with": "PAYMENTS_OPERATOR", "is_default": "1"}
    save(admin, name="For operators", query="status=PAID", **shared)
    first = operator.get(LIST)
    assert first.location.startswith(f"{LIST}?status=PAID&view=")
    save(operator, name="Mine", query="status=FAILED", first="1")
    assert "status=FAILED" in operator.get(LIST).location
    operator.post(f"{LIST}views/", data={"op": "first", "id": "0"})
    assert operator.get(LIST).status_code == 200
    operator.post(f"{LIST}views/", data={"op": "first", "id": ""})
    assert "status=PAID" in operator.get(LIST).location
    assert operator.get(f"{LIST}?view=0").status_code == 200


def test_clearing_the_filters_of_a_first_view_shows_the_whole_list(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment()
    save(client, first="1")
    page = client.get(LIST, follow_redirects=True)
    clear = re.search(r'href="([^"]+)" data-nav>Clear all', page.text)
    assert clear is not None
    assert client.get(clear[1]).status_code == 200


def test_a_shared_view_shows_each_reader_only_what_their_role_allows(make: Make) -> None:
    support = make.browse(Role.SUPPORT_MANAGER)
    make.payment(customer_id=make.customer(name="Ada Lovelace").id)
    admin = make.browse(Role.ADMIN, Role.SUPPORT_MANAGER)
    admin.post(f"{LIST}columns/", data={"column": ["transaction_id", "customer"]})
    save(admin, name="Names", query="status=PAID", shared_with="SUPPORT_MANAGER")
    assert "Ada Lovelace" in admin.get(LIST).text
    view = view_named("Names")
    page = support.get(f"{LIST}views/{view.id}/", follow_redirects=True)
    assert "Ada Lovelace" not in page.text
    assert "A•••" in page.text
    assert make.browse(Role.CASHIER).get(f"{LIST}views/{view.id}/").status_code == 403
    assert make.browse(Role.ANTI_FRAUD).get(f"{LIST}views/{view.id}/").status_code == 404


@pytest.mark.parametrize("query", ["search=ada@example.com", "customer={customer}"])
def test_what_was_searched_for_and_persons_are_never_shared(make: Make, query: str) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    customer = make.customer(name="Ada Lovelace")
    make.payment(customer_id=customer.id)
    asked = query.format(customer=customer.id)
    refused = save(client, query=asked, shared_with="PAYMENTS_OPERATOR")
    assert refused.status_code == 422
    assert "personal data" in refused.text
    assert save(client, query=asked).status_code == 200
    view = view_named("Failed ones")
    form = {"op": "edit", "id": view.id, "name": view.name, "shared_with": "PAYMENTS_OPERATOR"}
    assert client.post(f"{LIST}views/", data=form).status_code == 422


def test_another_list_is_no_way_to_share_what_was_searched_for(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    save(client, query="search=ada%40example.com")
    view = view_named("Failed ones")
    role = Role.PAYMENTS_OPERATOR.name
    for op in ("edit", "overwrite", "delete"):
        form = {"op": op, "id": view.id, "name": "Mine", "shared_with": role, "list": "search=grace"}
        assert client.post("/customers/views/", data=form).status_code == 404
    kept = view_named("Failed ones")
    assert (kept.query, kept.shared_with) == ("search=ada%40example.com", None)


def test_a_view_whose_filter_is_gone_says_so_and_shows_the_whole_list(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment(transaction_id="T-1")
    save(client, first="1")
    view = view_named("Failed ones")
    db.session.execute(db.text("UPDATE saved_view SET query = 'colour=RED' WHERE id = :id"), {"id": view.id})
    db.session.commit()
    page = client.get(LIST, follow_redirects=True)
    assert page.status_code == 200
    assert "no longer fits this list" in page.text
    assert ">T-1<" in page.text
    assert "No longer fits this list" in client.get(f"{LIST}views/").text


def test_columns_that_are_gone_are_named(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    client.post(f"{LIST}columns/", data={"column": ["status", "provider"]})
    save(client)
    view = view_named("Failed ones")
    db.session.execute(db.text('UPDATE saved_view SET columns = \'["status", "colour"]\''))
    db.session.commit()
    page = client.get(f"{LIST}views/{view.id}/", follow_redirects=True)
    assert "columns that no longer exist: colour" in page.text


def test_a_deleted_view_still_filters_and_says_that_it_is_gone(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    make.payment(transaction_id="GOOD")
    save(client, first="1")
    view_id = view_named("Failed ones").id
    client.post(f"{LIST}views/", data={"op": "delete", "id": view_id})
    page = client.get(f"{LIST}?status=FAILED&view={view_id}")
    assert "The view of this address was deleted" in page.text
    assert ">GOOD<" not in page.text
    assert client.get(LIST).status_code == 200, "what came first is forgotten with it"
    assert db.session.query(UserPreference).count() == 0


def test_only_the_owner_changes_a_view(make: Make) -> None:
    owner = staff(make, Role.PAYMENTS_OPERATOR, name="ann")
    other = staff(make, Role.PAYMENTS_OPERATOR, Role.ADMIN, name="bob")
    shared = Role.PAYMENTS_OPERATOR
    view_id = saved_views.save_view(
        owner, "transactions", name="Mine", query="status=PAID", columns=None, shared_with=shared
    )
    for act in (
        lambda: saved_views.delete_view(other, view_id),
        lambda: saved_views.overwrite_view(other, view_id, query="", columns=None),
        lambda: saved_views.edit_view(other, view_id, name="x", shared_with=None, is_default=False),
    ):
        with pytest.raises(NotFound):
            act()
    saved_views.overwrite_view(owner, view_id, query="status=FAILED", columns=["status"])
    saved_views.edit_view(owner, view_id, name="  Still   mine ", shared_with=None, is_default=False)
    view = view_named("Still mine")
    assert (view.query, view.columns, view.shared_with) == ("status=FAILED", ["status"], None)
    with pytest.raises(NotFound):
        saved_views.choose_first_view(other, "transactions", view_id=view_id)
    saved_views.delete_view(owner, view_id)
    assert db.session.query(SavedView).count() == 0
    done = AuditEvent.entity == "saved_view", AuditEvent.outcome == "done"
    said = db.session.query(AuditEvent.event).filter(*done).order_by(AuditEvent.id)
    assert [event for (event,) in said] == ["records.view.saved"] * 3 + ["records.view.deleted"]


def test_sharing_needs_the_role_and_what_it_sees_first_needs_who_appoints_it(make: Make) -> None:
    ann = staff(make, Role.PAYMENTS_OPERATOR, name="ann")
    asked: dict[str, Any] = {"query": "", "columns": None}
    with pytest.raises(Forbidden):
        saved_views.save_view(ann, "transactions", name="a", shared_with=Role.CFO, **asked)
    operators = {"shared_with": Role.PAYMENTS_OPERATOR, "is_default": True}
    with pytest.raises(Forbidden):
        saved_views.save_view(ann, "transactions", name="a", **operators, **asked)
    with pytest.raises(Invalid):
        saved_views.save_view(ann, "transactions", name="a", is_default=True, **asked)
    chief = staff(make, Role.ADMIN, name="chief")
    first = saved_views.save_view(chief, "transactions", name="a", **operators, **asked)
    second = saved_views.save_view(chief, "transactions", name="b", **operators, **asked)
    db.session.rollback()
    views = {view.id: view.is_default for view in db.session.query(SavedView)}
    assert views == {first: False, second: True}, "a role has one first view"


def test_names_are_given_once_and_views_are_limited(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = staff(make, Role.PAYMENTS_OPERATOR, name="ann")
    asked: dict[str, Any] = {"query": "", "columns": None}
    saved_views.save_view(ann, "transactions", name="a", **asked)
    other = saved_views.save_view(ann, "transactions", name="b", **asked)
    for name in ("", "  ", "a", "x" * 61, "a\x07b"):
        with pytest.raises(Invalid):
            saved_views.save_view(ann, "transactions", name=name, **asked)
    with pytest.raises(Invalid):
        saved_views.edit_view(ann, other, name="a", shared_with=None, is_default=False)
    with pytest.raises(Invalid):
        saved_views.save_view(ann, "transactions", name="long", query="x" * 2001, columns=None)
    monkeypatch.setattr(saved_views, "MOST_VIEWS", 2)
    with pytest.raises(Conflict):
        saved_views.save_view(ann, "transactions", name="c", **asked)
    saved_views.save_view(ann, "customers", name="a", **asked)


def test_a_view_is_named_by_a_number(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    assert client.get(f"{LIST}?view=x").status_code == 400
    assert client.get(f"{LIST}?view=99999999999999999999").status_code == 400
    assert client.get(f"{LIST}views/77/").status_code == 404
    assert client.post(f"{LIST}views/", data={"op": "dance"}).status_code == 400


def test_hostile_names_stay_text(make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    save(client, name='<i id="hostile">')
    for path in (LIST, f"{LIST}views/"):
        assert '<i id="hostile"' not in client.get(path).text
