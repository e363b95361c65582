"""The pages: what each person sees, writes and is refused; what was typed stays when something is wrong."""

import io
import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from payadmin.db import db
from payadmin.jobs import runner
from payadmin.kernel.checkout_files import FORMAT
from payadmin.models.checkout import CheckoutReplay, CheckoutRule, ProviderMethod
from payadmin.permissions import Role
from payadmin.queries.checkout import active_id
from tests.checkout.test_rules import fill
from tests.support.checkout import API, CARD, PAYPAL, WEB, WIRE, Counter, over
from tests.support.make import Make

PAGES = ("/adaptive-checkout/", "/checkout-versions/", "/checkout-replays/", "/checkout-changes/", "/provider-methods/")


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def admin(make: Make) -> FlaskClient:
    return make.browse(Role.ADMIN)


def rule_form(**values: Any) -> dict[str, Any]:
    """A rule as a browser sends it."""
    return {
        "id": "web",
        "priority": "10",
        "is_on": "y",
        "c": ["0"],
        "c-0-key": "channel",
        "c-0-operator": "equal",
        "c-0-value": "WEB",
        "method": ["simulator:card"],
    } | values


@pytest.mark.parametrize("role", [Role.ADMIN, Role.PAYMENTS_OPERATOR])
def test_those_who_write_rules_open_every_page(counter: Counter, make: Make, role: Role) -> None:
    active = counter.active(("web", (WEB,), (CARD,)), ("default", (), (WIRE,)))
    client = make.browse(role)
    more = (f"/checkout-versions/{active}/", f"/adaptive-checkout/{counter.id_of(active, 'web')}/")
    for address in (*PAGES, *more):
        assert client.get(address).status_code == 200, address
    assert "Adaptive checkout" in client.get("/").text


@pytest.mark.parametrize("role", [Role.CFO, Role.ANTI_FRAUD, Role.SUPPORT_MANAGER, Role.ISSUER, Role.CASHIER])
def test_everybody_else_is_shut_out(counter: Counter, make: Make, role: Role) -> None:
    active = counter.active(("default", (), (WIRE,)))
    client = make.browse(role)
    more = (f"/checkout-versions/{active}/rules.json", f"/checkout-versions/{active}/test/", "/adaptive-checkout/test/")
    for address in (*PAGES, *more, "/adaptive-checkout/condition/?c=0"):
        assert client.get(address).status_code == 403, address
    assert client.post("/checkout-versions/start/").status_code == 403


def test_before_any_rules_the_page_says_how_to_begin(counter: Counter, admin: FlaskClient) -> None:
    page = admin.get("/adaptive-checkout/").text
    assert "No rules decide yet" in page
    assert "Begin a draft" in page
    assert admin.get("/adaptive-checkout/test/").status_code == 404


def test_the_overview_says_the_order_in_words_and_each_rule_in_words(counter: Counter, admin: FlaskClient) -> None:
    counter.active(("web-large", (WEB, over(100_00)), (CARD, PAYPAL)), ("default", (), (WIRE,)))
    counter.disable("simulator", "paypal")
    page = admin.get("/adaptive-checkout/").text
    assert "The lowest priority number comes first." in page
    assert "Channel is Web" in page
    assert "Amount is more than 100.00 EUR" in page
    assert re.search(r"<s>Paypal · simulator</s>", page)
    assert "Disabled and therefore not offered: simulator:paypal." in page


def test_a_missing_default_and_dead_rules_are_warned_about(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "web", 1)
    counter.rule(draft_id, "again", 2)
    page = admin.get(f"/checkout-versions/{draft_id}/").text
    assert "There is no default that is on." in page
    assert "Never decides" in page
    assert "“web” comes first and applies to everything that this rule does." in page


def test_rules_are_begun_written_and_activated_from_the_pages(counter: Counter, admin: FlaskClient) -> None:
    began = admin.post("/checkout-versions/start/")
    draft_id = int(began.location.rstrip("/").rpartition("/")[2])
    default = {"id": "default", "is_on": "y", "method": ["bank:wire"]}
    assert admin.post(f"/adaptive-checkout/new/?draft={draft_id}&default=1", data=default).status_code == 303
    assert admin.post(f"/adaptive-checkout/new/?draft={draft_id}", data=rule_form(priority="")).status_code == 303
    assert counter.order(draft_id) == [("web", 10), ("default", None)]
    assert admin.post(f"/checkout-versions/{draft_id}/note/", data={"note": "First"}).status_code == 303
    page = admin.get(f"/checkout-versions/{draft_id}/activate/").text
    hidden = {name: re.search(rf'name="{name}"[^>]*value="(\d*)"', page) for name in ("version", "replaces")}
    data = {name: found[1] if found else "" for name, found in hidden.items()}
    done = admin.post(f"/checkout-versions/{draft_id}/activate/", data=data | {"reason": "Go"})
    assert done.status_code == 303
    assert active_id(db.session()) == draft_id
    assert "Version" in admin.get("/adaptive-checkout/").text


def test_an_activation_that_was_overtaken_shows_the_new_differences(counter: Counter, admin: FlaskClient) -> None:
    first = counter.active(("default", (), (CARD,)))
    mine, theirs = counter.draft(first), counter.draft(first)
    counter.rule(theirs, "theirs", 5, (WEB,), (PAYPAL,))
    version = counter.ruleset(mine).version
    counter.activate(theirs)
    answer = admin.post(f"/checkout-versions/{mine}/activate/", data={"version": version, "replaces": first})
    assert answer.status_code == 409
    assert "Another version became active meanwhile." in answer.text
    assert f"What changes against version {theirs}" in answer.text
    assert "Removed" in answer.text
    assert f'name="replaces" type="hidden" value="{theirs}"' in answer.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"id": "a b"}, "An ID has letters, digits"),
        ({"id": ""}, "A rule needs an ID."),
        ({"priority": "ten"}, "Write a whole number."),
        ({"priority": "0"}, "A priority is a whole number"),
        ({"c-0-key": ""}, "Choose what this condition asks about"),
        ({"c-0-value": ""}, "Choose a value."),
        ({"c-0-operator": "in", "c-0-value": []}, "Choose at least one value"),
        ({"c": []}, "Give this rule at least one condition."),
        ({"c-0-key": "amount", "c-0-value": "1.234", "c-0-unit": "EUR"}, "too many decimals"),
        ({"c-0-key": "amount", "c-0-value": "x<b>", "c-0-unit": "EUR"}, "is not an amount"),
        ({"c-0-key": "amount", "c-0-value": "5", "c-0-unit": "XXX"}, "Choose a currency."),
        ({"c-0-key": "product_category", "c-0-value": "x" * 65}, "at most 64 characters"),
        ({"method": []}, "A rule offers at least one payment method."),
        ({"method": ["simulator:coins"]}, "There is no method"),
        (
            {"c": ["0", "1"], "c-1-key": "channel", "c-1-operator": "equal", "c-1-value": "WEB"},
            "stands in the rule twice",
        ),
    ],
)
def test_a_form_with_a_mistake_says_so_and_keeps_what_was_typed(
    counter: Counter, admin: FlaskClient, changes: dict[str, Any], told: str
) -> None:
    draft_id = counter.draft()
    answer = admin.post(f"/adaptive-checkout/new/?draft={draft_id}", data=rule_form(**changes))
    assert answer.status_code == 422
    assert told in answer.text
    assert "x<b>" not in answer.text
    assert 'name="priority"' in answer.text
    assert counter.order(draft_id) == []


def test_a_priority_that_is_taken_is_told_at_its_field(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    counter.rule(draft_id, "api", 10, (API,))
    answer = admin.post(f"/adaptive-checkout/new/?draft={draft_id}", data=rule_form())
    assert answer.status_code == 409
    assert re.search(r'id="priority-error">.*“api” has the priority 10', answer.text)


def test_an_edit_over_somebody_elses_is_refused_and_keeps_what_was_typed(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    rule_id = counter.rule(draft_id, "web", 10)
    counter.rule(draft_id, "web", 10, (API,), rule_id=rule_id, version=1)
    data = rule_form(seen_version="1", method=["bank:wire"])
    answer = admin.post(f"/adaptive-checkout/{rule_id}/edit/", data=data)
    assert answer.status_code == 409
    assert "Somebody else changed this rule" in answer.text
    assert 'value="bank:wire"' in answer.text
    again = re.search(r'name="seen_version"[^>]*value="(\d+)"', answer.text)
    assert again is not None
    done = admin.post(f"/adaptive-checkout/{rule_id}/edit/", data=data | {"seen_version": again[1]})
    assert done.status_code == 303
    assert db.session.get_one(CheckoutRule, rule_id).methods == [WIRE]


def test_without_scripts_the_forms_own_buttons_do_the_same(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    address = f"/adaptive-checkout/new/?draft={draft_id}"

    def rows(answer: Any) -> tuple[list[str], list[str]]:
        assert answer.status_code == 200
        conditions = re.findall(r'name="c" value="(\d+)"', answer.text)
        return conditions, re.findall(r'name="method" value="([^"]+)"', answer.text)

    two = rule_form(method=["simulator:card", "bank:wire"])
    assert rows(admin.post(address, data=two | {"add-condition": "1"}))[0] == ["0", "1"]
    assert rows(admin.post(address, data=two | {"remove-condition": "0"}))[0] == []
    assert rows(admin.post(address, data=two | {"again": "1"}))[0] == ["0"]
    assert rows(admin.post(address, data=two | {"method-up": "bank:wire"}))[1] == ["bank:wire", "simulator:card"]
    assert rows(admin.post(address, data=two | {"method-down": "bank:wire"}))[1] == ["simulator:card", "bank:wire"]
    assert rows(admin.post(address, data=two | {"method-remove": "bank:wire"}))[1] == ["simulator:card"]
    added = two | {"method-add": "1", "method-new": "simulator:paypal"}
    assert rows(admin.post(address, data=added))[1][-1] == "simulator:paypal"
    assert counter.order(draft_id) == []


def test_a_row_of_the_editor_is_drawn_as_its_key_and_operator_ask(counter: Counter, admin: FlaskClient) -> None:
    row = "/adaptive-checkout/condition/?c=3&c-3-key="
    assert 'type="checkbox" name="c-3-value" value="WEB"' in admin.get(f"{row}channel&c-3-operator=in").text
    assert 'name="c-3-unit"' in admin.get(f"{row}amount&c-3-operator=less_than&c-3-value=5").text
    assert "<textarea" in admin.get(f"{row}product_category&c-3-operator=not_in").text
    assert "Choose what this condition asks about." in admin.get("/adaptive-checkout/condition/?c=3").text
    assert admin.get("/adaptive-checkout/condition/").status_code == 404


def test_rules_are_moved_switched_copied_and_deleted(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    first, second = counter.rule(draft_id, "web", 1), counter.rule(draft_id, "api", 2, (API,))
    version = counter.ruleset(draft_id).version
    move = f"/checkout-versions/{draft_id}/move/"
    assert admin.post(move, data={"to": f"1:{second}", "version": version}).status_code == 303
    assert [name for name, _ in counter.order(draft_id)] == ["api", "web"]
    stale = admin.post(move, data={"to": f"1:{first}", "version": version}, follow_redirects=True)
    assert "Somebody else changed this draft meanwhile." in stale.text
    for hostile in ("", "x:y", f"-1:{first}", f"{10**20}:{first}", "1:999999"):
        assert admin.post(move, data={"to": hostile, "version": version}).status_code == 303
    admin.post(f"/adaptive-checkout/{first}/switch/", data={"on": "0"})
    assert not db.session.get_one(CheckoutRule, first).is_on
    assert admin.post(f"/adaptive-checkout/{first}/copy/").status_code == 303
    assert admin.post(f"/adaptive-checkout/{second}/delete/").status_code == 303
    assert [name for name, _ in counter.order(draft_id)] == ["web", "web-copy"]


def test_what_is_not_a_draft_is_not_written(counter: Counter, admin: FlaskClient) -> None:
    active = counter.active(("web", (WEB,), (CARD,)))
    rule_id = counter.id_of(active, "web")
    assert admin.get(f"/adaptive-checkout/{rule_id}/edit/").status_code == 409
    assert admin.get(f"/adaptive-checkout/new/?draft={active}").status_code == 409
    assert admin.get("/adaptive-checkout/new/?draft=x").status_code == 404
    for address in (f"/adaptive-checkout/{rule_id}/delete/", f"/adaptive-checkout/{rule_id}/copy/"):
        assert "Start a draft from it." in admin.post(address, follow_redirects=True).text
    assert "Start a draft from it." in admin.post(f"/checkout-versions/{active}/discard/", follow_redirects=True).text
    assert "Only a draft can be activated." in admin.get(f"/checkout-versions/{active}/activate/").text
    assert counter.order(active) == [("web", 10)]


def test_a_draft_is_discarded(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    assert "The draft is archived." in admin.post(f"/checkout-versions/{draft_id}/discard/", follow_redirects=True).text


def test_the_test_panel_tells_which_rule_and_which_condition_failed(counter: Counter, admin: FlaskClient) -> None:
    counter.active(("large", (over(100_00),), (WIRE,)), ("web", (WEB,), (CARD, PAYPAL)), ("default", (), (WIRE,)))
    counter.disable("simulator", "paypal")
    asked = "f-amount=50&f-amount-unit=EUR&f-channel=WEB"
    fragment = admin.get(f"/adaptive-checkout/test/?{asked}", headers={"X-Partial": "preview"}).text
    assert "“web” decides." in fragment
    assert "Amount is more than 100.00 EUR: it is 50.00 EUR" in fragment
    assert "<s>Paypal · simulator</s>" in fragment
    assert "One rule after it was not asked." in fragment
    assert "<html" not in fragment
    whole = admin.get(f"/adaptive-checkout/test/?{asked}").text
    assert "“web” decides." in whole
    assert "<h1" in whole


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("f-amount=x&f-amount-unit=EUR&f-channel=WEB", "is not an amount"),
        ("f-amount=5&f-amount-unit=XXX&f-channel=WEB", "Choose a currency."),
        ("f-amount=5&f-amount-unit=EUR", "This is needed."),
        ("f-amount=5&f-amount-unit=EUR&f-channel=TELEX", "is no value of Channel"),
        (f"f-amount=5&f-amount-unit=EUR&f-channel=WEB&f-product_category={'x' * 65}", "at most 64 characters"),
        ("payment=T-none", "no payment with this transaction ID"),
        ("payment=%00", "no payment with this transaction ID"),
    ],
)
def test_the_test_panel_says_what_is_missing(counter: Counter, admin: FlaskClient, asked: str, told: str) -> None:
    counter.active(("default", (), (WIRE,)))
    assert told in admin.get(f"/adaptive-checkout/test/?{asked}", headers={"X-Partial": "preview"}).text


def test_a_payment_that_was_made_is_tested_by_its_name(counter: Counter, admin: FlaskClient) -> None:
    counter.active(("web", (WEB,), (PAYPAL,)), ("default", (), (WIRE,)))
    payment = counter.make.payment(transaction_id="T-made", amount_minor=12_34)
    fragment = admin.get(f"/adaptive-checkout/test/?payment={payment.transaction_id}").text
    assert "12.34" in fragment
    assert "It was paid by simulator:card, which would not be offered." in fragment


def test_differences_are_shown_part_by_part(counter: Counter, admin: FlaskClient) -> None:
    first = counter.active(("web", (WEB,), (CARD,)), ("old", (API,), (CARD,)), ("default", (), (WIRE,)))
    draft_id = counter.draft(first)
    rule_id = counter.id_of(draft_id, "web")
    counter.rule(draft_id, "web", 15, (WEB, over(5_00)), (PAYPAL,), rule_id=rule_id, version=1)
    page = admin.get(f"/checkout-versions/{draft_id}/differences/").text
    for told in ("Channel is Web; Amount is more than 5.00 EUR", "Paypal · simulator", "Changed"):
        assert told in page, told
    assert admin.get(f"/checkout-versions/{draft_id}/differences/?with={draft_id + 99}").status_code == 404
    same = counter.draft(first)
    assert "There is no difference" in admin.get(f"/checkout-versions/{same}/differences/").text


def test_a_version_is_exported_and_imported(counter: Counter, admin: FlaskClient) -> None:
    first = counter.active(("web", (WEB,), (CARD,)), ("default", (), (WIRE,)))
    file = admin.get(f"/checkout-versions/{first}/rules.json")
    assert file.headers["Content-Disposition"] == f'attachment; filename="checkout-rules-{first}.json"'
    assert [rule["id"] for rule in json.loads(file.data)["rules"]] == ["web", "default"]
    data = {"file": (io.BytesIO(file.data), "rules.json"), "note": "Back", "text": ""}
    done = admin.post("/checkout-versions/import/", data=data, content_type="multipart/form-data")
    assert done.status_code == 303
    assert counter.order(int(done.location.rstrip("/").rpartition("/")[2])) == [("web", 10), ("default", None)]


def send_file(client: FlaskClient, content: bytes) -> Any:
    """Import a file as a browser sends it, however large it is: the test client puts large ones on the disk."""
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="rules.json"\r\n\r\n'
    body = head + content + b"\r\n--cut--\r\n"
    return client.post("/checkout-versions/import/", data=body, content_type="multipart/form-data; boundary=cut")


def test_a_file_of_as_many_rules_as_a_version_may_have_is_imported(counter: Counter, admin: FlaskClient) -> None:
    words = {"key": "product_category", "operator": "in", "value": [f"category {number}" for number in range(20)]}
    rules = [
        {"id": f"r{place}", "priority": place, "conditions": [dict(WEB), words], "methods": [dict(CARD)]}
        for place in range(1, 2_001)
    ]
    sent = json.dumps({"format": FORMAT, "rules": rules}).encode()
    assert len(sent) > 1_000_000
    done = send_file(admin, sent)
    assert done.status_code == 303
    assert admin.get(done.location).status_code == 200


def test_ten_thousand_rules_are_refused_in_words_and_not_sent_back(counter: Counter, admin: FlaskClient) -> None:
    rule = {"id": "r", "priority": 1, "conditions": [dict(WEB)], "methods": [dict(CARD)]}
    sent = json.dumps({"format": FORMAT, "rules": [rule] * 10_000}).encode()
    answer = send_file(admin, sent)
    assert answer.status_code == 422
    assert "The file has 10,000 rules; a version has at most 2,000." in answer.text
    assert len(answer.data) < 100_000


def test_an_import_with_a_mistake_keeps_the_text_and_says_where(counter: Counter, admin: FlaskClient) -> None:
    rule = {"id": "w<i>", "priority": 1, "conditions": [dict(WEB)], "methods": [dict(CARD)]}
    text = json.dumps({"format": FORMAT, "rules": [rule]})
    answer = admin.post("/checkout-versions/import/", data={"text": text, "note": "Mine"})
    assert answer.status_code == 422
    assert "rules[0].id" in answer.text
    assert "w&lt;i&gt;" in answer.text
    assert 'value="Mine"' in answer.text
    assert admin.post("/checkout-versions/import/", data={"text": " "}).status_code == 422
    latin = {"file": (io.BytesIO(b"\xff\xfe\x00"), "x.json")}
    assert admin.post("/checkout-versions/import/", data=latin, content_type="multipart/form-data").status_code == 422


def test_a_replay_is_started_watched_listed_and_stopped(counter: Counter, admin: FlaskClient) -> None:
    first = counter.active(("default", (), (CARD,)))
    draft_id = counter.draft(first)
    counter.rule(draft_id, "web", 5, (WEB,), (PAYPAL,))
    payment_id = counter.paid(1_00)
    began = admin.post(f"/checkout-versions/{draft_id}/replay/", data={"days": "1"})
    assert began.status_code == 303
    replay_id = db.session.scalars(select(CheckoutReplay.id)).one()
    assert 'data-done="0"' in admin.get(f"/checkout-replays/{replay_id}/progress/").text
    runner.drain()
    assert 'data-done="1"' in admin.get(f"/checkout-replays/{replay_id}/progress/").text
    page = admin.get(f"/checkout-replays/{replay_id}/").text
    assert "1 of 1 payments" in page
    rows = admin.get(f"/checkout-changes/?replay_id={replay_id}").text
    assert f"/transactions/{payment_id}/" in rows
    assert "simulator:paypal" in rows
    assert "Yes" in rows or "Loses" in rows
    for days in ("", "0", "x", "99999", "-1"):
        answer = admin.post(f"/checkout-versions/{draft_id}/replay/", data={"days": days}, follow_redirects=True)
        assert 'class="alert bad"' in answer.text, days
    assert "This replay is finished." in admin.post(
        f"/checkout-replays/{replay_id}/cancel/", follow_redirects=True
    ).text.replace("Finished", "finished")


def test_provider_methods_are_added_and_switched_off(counter: Counter, admin: FlaskClient) -> None:
    counter.make.method("coins")
    data = {"provider": "bank", "method": "coins", "is_enabled": "y"}
    assert admin.post("/provider-methods/new/", data=data).status_code == 302
    row = db.session.scalars(select(ProviderMethod).where(ProviderMethod.method == "coins")).one()
    assert row.is_enabled
    again = admin.post("/provider-methods/new/", data=data)
    assert again.status_code in {409, 422}
    form = {"provider": "bank", "method": "coins", "seen_version": str(row.version)}
    assert admin.post(f"/provider-methods/{row.id}/edit/", data=form).status_code == 302
    db.session.rollback()
    assert not db.session.get_one(ProviderMethod, row.id, populate_existing=True).is_enabled
    assert admin.post(f"/provider-methods/{row.id}/delete/").status_code == 403


def test_a_version_of_two_thousand_rules_is_shown_in_pages(counter: Counter, admin: FlaskClient) -> None:
    draft_id = counter.draft()
    fill(draft_id, 250)
    page = admin.get(f"/checkout-versions/{draft_id}/").text
    assert page.count('class="rule ') + page.count('class="rule"') == 100
    assert "Page 1 of 3" in page
    last = admin.get(f"/checkout-versions/{draft_id}/?page=3").text
    assert last.count('class="rule ') + last.count('class="rule"') == 50
    assert admin.get(f"/checkout-versions/{draft_id}/?page=99").status_code == 200


def test_rules_cost_no_more_queries_when_there_are_more(counter: Counter, admin: FlaskClient) -> None:
    few, many = counter.draft(), counter.draft()
    fill(few, 2)
    fill(many, 90)
    seen: list[object] = []

    def asked(draft_id: int) -> int:
        seen.clear()
        assert admin.get(f"/checkout-versions/{draft_id}/").status_code == 200
        return len(seen)

    def note(*args: object) -> None:
        seen.append(args)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        asked(few), asked(many)
        assert asked(few) == asked(many)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
