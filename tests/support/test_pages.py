"""The pages of support: who sees what, at every address; hostile words; numbers that are lists."""

import datetime as dt
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from payadmin.actions import support
from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.support import SupportMember, SupportTeam, Ticket, TicketFile, TicketMessage, TicketStatus
from payadmin.permissions import GRANTS, Permission, Role, permissions_of
from payadmin.work import Actor
from tests.support.conftest import WORD, Care
from tests.support.make import Make
from tests.support.signin import enter_as
from tests.support.test_tickets import PNG, shift

S = TicketStatus
HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)>"
OUTSIDERS = sorted(role for role in Role if Permission.SUPPORT_TICKET_WRITE not in GRANTS[role])


@pytest.fixture
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def enter(app: Flask) -> Callable[[Actor], FlaskClient]:
    """A browser of somebody who has an account."""
    return lambda actor: enter_as(app, actor.staff_id or 0)


class Two:
    """Two managers with a team and an SCC each, and a ticket with a file in the first team."""

    def __init__(self, care: Care) -> None:
        self.boss, self.other = care.manager(), care.manager()
        self.mine = support.make_team(self.boss, name="Cards")
        self.theirs = support.make_team(self.other, name="Wallets")
        self.agent, self.stranger = care.agent(self.boss, self.mine), care.agent(self.other, self.theirs)
        self.alone = care.agent(self.boss)
        self.customer = care.customer(name="Ann Winter", email="ann@example.com", phone="+44 7700 900123").id
        customer = db.session.get_one(Customer, self.customer)
        self.ticket = care.ticket(self.boss, customer, team_id=self.mine, subject="Secret subject")
        support.note_ticket(self.boss, self.ticket, body="See", key="n", files=[("a.png", PNG)])
        self.loose = care.ticket(self.boss, subject="Nobody's yet")
        self.file = db.session.scalars(select(TicketFile.id)).one()


@pytest.fixture
def two(care: Care) -> Two:
    return Two(care)


def addresses(two: Two) -> list[tuple[str, str, dict[str, Any]]]:
    """Every address of a ticket and of its file, with what a form would send."""
    at = f"/tickets/{two.ticket}"
    return [
        ("GET", f"{at}/", {}),
        ("GET", f"{at}/files/{two.file}/", {}),
        ("POST", f"{at}/say/", {"body": "x", "key": "k", "answer": "1"}),
        ("POST", f"{at}/say/", {"body": "x", "key": "k2", "note": "1"}),
        ("POST", f"{at}/say/", {"insert": "1", "template": "received"}),
        ("POST", f"{at}/move/", {"status": "RESOLVED", "version": "2"}),
        ("POST", f"{at}/rank/", {"priority": "LOW", "version": "2"}),
        ("POST", f"{at}/assign/", {"assignee": "", "version": "2"}),
        ("POST", f"{at}/payment/", {"payment": "", "version": "2"}),
        ("POST", f"{at}/merge/", {"into": "T-000002", "version": "2"}),
    ]


def test_every_address_of_a_ticket_is_shut_to_everybody_who_does_not_see_it(
    two: Two, make: Make, no_csrf: None, enter: Any
) -> None:
    """Every role, the SCC of another manager and one in no team, at every address: never more than a refusal."""
    wrong = [(role.value, make.browse(role), 403) for role in OUTSIDERS]
    wrong += [("another team", enter(two.stranger), 404), ("no team", enter(two.alone), 404)]
    table = []
    for who, client, expected in wrong:
        for method, path, form in addresses(two):
            answer = client.open(path, method=method, data=form)
            table.append((who, method, path, answer.status_code == expected))
            assert b"Secret subject" not in answer.data
            assert PNG not in answer.data
        for path in ("/tickets/?search=T-000001", f"/tickets/?team={two.mine}", "/tickets/", "/search/?q=T-000001",
                     f"/clients/{two.customer}/", "/clients/", "/tickets/export/csv/"):  # fmt: skip
            assert b"Secret subject" not in client.get(path).data, f"{who} {path}"
    assert [row[:3] for row in table if not row[3]] == []
    assert len(table) == len(wrong) * len(addresses(two))
    db.session.rollback()
    row = db.session.get_one(Ticket, two.ticket)
    assert (row.status, row.version) == (S.OPEN, 2)
    assert db.session.scalar(select(func.count()).select_from(TicketMessage)) == 3


def test_no_address_of_a_ticket_or_a_client_is_open_to_who_does_not_see_it(
    two: Two, make: Make, app: Flask, no_csrf: None, enter: Any
) -> None:
    """Every rule of the address map that names a ticket or a client, so that one that is added later is tried too."""
    values = {"row_id": two.ticket, "file_id": two.file, "customer_id": two.customer, "action": "x"}
    adapter, tried = app.url_map.bind("localhost"), set[tuple[str, str]]()
    for rule in app.url_map.iter_rules():
        of_ticket = rule.rule.startswith("/tickets/<int:row_id>/")
        if of_ticket or rule.rule.startswith("/clients/<int:customer_id>/"):
            path = adapter.build(rule.endpoint, {key: values[key] for key in rule.arguments})
            tried |= {(method, path) for method in (rule.methods or set()) & {"GET", "POST"}}
    assert {(method, path) for method, path, _form in addresses(two)} < tried
    people = [(role.value, make.browse(role)) for role in OUTSIDERS]
    of_tickets = {each for each in tried if each[1].startswith("/tickets/")}
    wrong = [(who, client, tried) for who, client in people]
    wrong += [("another team", enter(two.stranger), of_tickets), ("no team", enter(two.alone), of_tickets)]
    word = f"/clients/{two.customer}/new-codeword/"  # administrators keep codewords, and see nobody's tickets
    for who, client, shut in wrong:
        for method, path in sorted(shut):
            answer = client.open(path, method=method, data={"version": "2"})
            is_keeper = path == word and who == Role.ADMIN.value
            assert is_keeper or answer.status_code in {403, 404}, (who, method, path)
            assert b"Secret subject" not in answer.data
            assert PNG not in answer.data
            assert b"900123" not in answer.data
    db.session.rollback()
    assert db.session.get_one(Ticket, two.ticket).version == 2
    assert not db.session.scalars(select(AuditEvent).where(AuditEvent.event == "support.file.fetched")).all()


def test_the_team_and_every_manager_see_the_ticket(two: Two, no_csrf: None, enter: Any) -> None:
    for actor in (two.agent, two.boss, two.other):
        client = enter(actor)
        assert b"Secret subject" in client.get(f"/tickets/{two.ticket}/").data
        assert b"Secret subject" in client.get("/tickets/").data
        assert b"Secret subject" in client.get("/tickets/export/csv/").data
        assert b"T-000001" in client.get("/search/?q=T-000001").data
    assert b"yet" not in enter(two.agent).get("/tickets/").data.split(b"<tbody>")[1]


def test_a_file_is_saved_never_shown_and_each_fetch_has_its_row(two: Two, enter: Any) -> None:
    client, fetched = enter(two.agent), 0
    for _turn in range(3):
        answer = client.get(f"/tickets/{two.ticket}/files/{two.file}/")
        fetched += answer.data == PNG
    assert fetched == 3
    assert answer.headers["Content-Disposition"] == "attachment; filename=a.png"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"/tickets/{two.loose}/files/{two.file}/").status_code == 404
    rows = select(func.count()).where(AuditEvent.event == "support.file.fetched", AuditEvent.outcome == "done")
    assert db.session.scalar(rows) == fetched


def test_personal_data_is_masked_until_the_codeword_is_said_or_a_reason_given(
    two: Two, no_csrf: None, enter: Any
) -> None:
    agent, boss, at = enter(two.agent), enter(two.boss), f"/clients/{two.customer}/"
    secret = (b"Ann Winter", b"ann@example.com", b"900123")
    external = db.session.get_one(Customer, two.customer).external_id
    pages = (at, f"/tickets/{two.ticket}/", f"/clients/?q={external}", f"{at}new-ticket/")

    def seen(client: FlaskClient) -> int:
        return sum(word in client.get(page).data for page in pages for word in secret)

    assert (seen(agent), seen(boss)) == (0, 0)
    wrong = agent.post(f"{at}codeword/", data={"codeword": "wrong one"})
    assert (wrong.status_code, b"4 tries left" in wrong.data, b"wrong one" in wrong.data) == (409, True, False)
    assert agent.post(f"{at}codeword/", data={"codeword": WORD}).status_code == 303
    assert seen(agent) == 9, "the customer, the ticket and the new ticket; what a search finds stays masked"
    assert seen(boss) == 0, "what one hears the other has not heard"
    shown = boss.post(f"{at}reveal/", data={"reason": "The customer is calling"})
    assert (shown.status_code, seen(boss)) == (303, 9)
    assert boss.post(f"{at}hide/").status_code == 303
    assert seen(boss) == 0
    events = dict(db.session.execute(select(AuditEvent.event, func.count()).group_by(AuditEvent.event)).all())
    assert events["support.codeword.compared"] == 2
    assert events["records.personal_data.revealed"] == 1


def test_looking_for_a_customer_is_in_the_trail_without_what_was_typed(two: Two, enter: Any) -> None:
    client = enter(two.agent)
    assert client.get("/clients/?q=07700+900123").status_code == 200
    client.get("/clients/?q=ann@example.com")
    client.get("/clients/?q=winter")
    db.session.rollback()
    rows = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "support.clients.searched")).all()
    said = " ".join(str(row.keys) for row in rows)
    assert len(rows) == 3
    assert "ann@" not in said
    assert "900123" not in said
    assert "winter" not in said


def test_the_same_phone_twice_shows_both(care: Care, enter: Any) -> None:
    care.customer(external_id="ONE", phone="+44 7700 900999")
    care.customer(external_id="TWO", phone="0044 (0)7700 900 999")
    page = enter(care.manager()).get("/clients/?q=%2B447700900999").text
    assert ("ONE" in page, "TWO" in page) == (True, True)


def test_an_scc_is_told_no_names_of_other_teams(two: Two, enter: Any) -> None:
    """Neither the teams nor the people of others are offered, whatever page offers them."""
    own, others = {"Cards", two.agent.name, two.boss.name, two.other.name}, {"Wallets", two.stranger.name}
    for actor, hidden in ((two.agent, others), (two.alone, others | {"Cards", two.agent.name}), (two.boss, set())):
        pages = [enter(actor).get(at).text for at in ("/tickets/", f"/tickets/?team={two.theirs}")]
        said = {word for word in own | others if any(re.search(rf"\b{word}\b", page) for page in pages)}
        assert said == (own | others) - hidden


def test_every_number_of_the_queue_is_a_list_of_that_length(two: Two, care: Care, no_csrf: None, enter: Any) -> None:
    boss = two.boss
    for number in range(3):
        ticket = care.ticket(boss, team_id=two.mine)
        care.move(boss, ticket, S.IN_PROGRESS)
        support.assign_ticket(
            boss, ticket, team_id=two.mine, assignee_id=two.agent.staff_id, version=care.row(ticket).version
        )
        if number == 1:
            support.answer_ticket(boss, ticket, body="Hello", key="a")
        if number == 2:
            support.answer_ticket(boss, ticket, body="Hello", key="a", then=S.RESOLVED)
    shift(two.loose, due_at=dt.timedelta(days=30))
    for actor in (boss, two.agent, two.stranger):
        client = enter(actor)
        page = client.get("/clients/").text
        links = re.findall(r'<a class="link" href="(/tickets/\?[^"]+)">(\d+)', page)
        assert len(links) >= 7
        for address, number in links:
            listed = client.get(address.replace("&amp;", "&")).text
            found = re.search(r"data-announce>(\d+) ticket", listed)
            assert found is not None, address
            assert found[1] == number, f"{actor.name} {address}"
    boss_page = enter(boss).get("/clients/").text
    assert re.search(r'queue=overdue">1<', boss_page)


def test_hostile_words_stay_words(two: Two, care: Care, no_csrf: None, enter: Any) -> None:
    client = enter(two.boss)
    form = {"channel": "CHAT", "subject": HOSTILE, "body": HOSTILE, "priority": "LOW", "key": "form:1"}
    made = client.post(f"/clients/{two.customer}/new-ticket/", data=form)
    assert made.status_code == 303
    again = client.post(f"/clients/{two.customer}/new-ticket/", data=form)
    assert again.location == made.location, "sent twice, opened once"
    for path in (made.location, "/tickets/", "/clients/", f"/clients/{two.customer}/", f"{made.location}?x"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    refused = client.post(f"{made.location}say/", data={"body": "x" * 20_001, "key": "k", "answer": "1"})
    assert (refused.status_code, "At most 20,000" in refused.text) == (422, True)
    assert "x" * 20_001 in refused.text, "what was typed is kept"


def test_a_ready_made_answer_is_in_the_customers_language_and_keeps_what_was_typed(
    two: Two, care: Care, no_csrf: None, enter: Any
) -> None:
    page = enter(two.agent).post(
        f"/tickets/{two.ticket}/say/", data={"insert": "1", "template": "more", "body": "Dear customer", "key": "k"}
    )
    assert page.status_code == 200
    text = page.text.partition("<textarea")[2].partition("</textarea>")[0]
    assert "Dear customer" in text
    assert "invoice number" in text
    said = {}
    for locale in ("en", "es", "id", "it"):
        ticket = care.ticket(two.boss, care.customer(locale=locale), team_id=two.mine)
        form = {"insert": "1", "template": "more", "body": "", "key": "k"}
        page = enter(two.agent).post(f"/tickets/{ticket}/say/", data=form)
        written = page.text.partition("<textarea")[2].partition("</textarea>")[0].partition(">")[2]
        said[locale] = unescape(written).strip()
        assert said[locale] == support.template_text(db.session(), "more", locale)
    assert len(set(said.values())) == 4, "each customer's own language, whatever that of the SCC"
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(TicketMessage)) == 3 + len(said)


def test_a_day_of_a_manager_on_the_pages(two: Two, care: Care, no_csrf: None, enter: Any) -> None:
    client = enter(two.boss)
    made = client.post("/scc/teams/", data={"name": "Refunds"})
    assert made.status_code == 303
    assert client.post("/scc/teams/", data={"name": "Refunds"}).status_code == 409
    db.session.rollback()
    team = db.session.scalars(select(SupportTeam).where(SupportTeam.name == "Refunds")).one()
    team_id, version = team.id, team.version
    assert client.post(f"/scc/teams/{team_id}/name/", data={"name": "Money", "version": version}).status_code == 303
    person = {"username": "nina", "full_name": "Nina Novak", "email": "nina@example.com", "team": str(team_id)}
    invited = client.post("/scc/new/", data=person)
    assert (invited.status_code, "They are shown only now" in invited.text) == (200, True)
    assert "nina" in client.get("/scc/").text
    assert client.post("/scc/new/", data=person).status_code == 409
    assert client.post(f"/scc/{two.stranger.staff_id}/team/", data={"team": str(team_id)}).status_code == 403
    assert client.post(f"/scc/{two.alone.staff_id}/team/", data={"team": str(team_id)}).status_code == 303
    members = select(func.count()).where(SupportMember.team_id == team_id)
    assert db.session.scalar(members) == 2
    at = f"/tickets/{two.ticket}/"

    def post(act: str, **form: str) -> int:
        version = care.row(two.ticket).version
        return client.post(f"{at}{act}/", data={"version": str(version), **form}).status_code

    assert post("assign", team=str(two.mine), assignee=str(two.agent.staff_id)) == 303
    assert post("rank", priority="URGENT") == 303
    assert post("rank", priority="NONE") == 422
    assert post("payment", payment="T-NOBODY") == 422
    assert post("say", body="We look into it.", key="1", answer="1", then="IN_PROGRESS") == 303
    assert post("move", status="RESOLVED") == 303
    assert post("move", status="IN_PROGRESS") == 409
    assert client.post(f"{at}move/", data={"version": "1", "status": "REOPENED"}).status_code == 409
    row = care.row(two.ticket)
    assert (row.status, row.assignee_id) == (S.RESOLVED, two.agent.staff_id)


def test_a_codeword_that_is_made_is_shown_once(two: Two, make: Make, care: Care, no_csrf: None, enter: Any) -> None:
    fresh = care.customer(word=None).id
    client = enter(two.boss)
    answer = client.post(f"/clients/{fresh}/new-codeword/", data={"reason": "Showed a passport."})
    made = re.search(r'spoken mono">([a-z]+ [a-z]+)<', answer.text)
    assert made is not None
    assert made[1] not in client.get(f"/clients/{fresh}/new-codeword/").text
    assert client.post(f"/clients/{fresh}/codeword/", data={"codeword": made[1]}).status_code == 303
    admin = make.browse(Role.ADMIN)
    form = {"codeword": "Red Panda 9", "reason": "A letter."}
    assert admin.post(f"/clients/{fresh}/new-codeword/", data=form).location == f"/customers/{fresh}/"
    assert admin.get(f"/clients/{fresh}/").status_code == 403
    assert enter(two.agent).post(f"/clients/{fresh}/new-codeword/", data=form).status_code == 403


def test_a_list_asks_as_many_questions_whatever_its_length(two: Two, care: Care, enter: Any, app: Flask) -> None:
    from sqlalchemy import event

    client = enter(two.boss)

    def questions(path: str) -> int:
        counted: list[str] = []
        listener = lambda *args: counted.append(args[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listener)
        assert client.get(path).status_code == 200
        event.remove(db.engine, "before_cursor_execute", listener)
        return len(counted)

    few = {path: questions(path) for path in ("/tickets/", "/clients/", "/scc/")}
    for _number in range(8):
        care.ticket(two.boss, team_id=two.mine)
        care.agent(two.boss, two.mine)
    assert {path: questions(path) for path in few} == few


def test_nobody_but_support_has_the_rights(app: Flask) -> None:
    holders = {role for role in Role if Permission.SUPPORT_TICKET_WRITE in permissions_of({role})}
    assert holders == {Role.SUPPORT_MANAGER, Role.SUPPORT_AGENT}
