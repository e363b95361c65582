"""Too much of anything: mails of a customer, words on a page, customers opened by codewords that staff make up."""

import pytest
from flask import Flask

from payadmin.actions import reveals, support
from payadmin.actions.support import talking
from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.models.support import TicketFile, TicketStatus
from payadmin.providers.incoming import Incoming
from payadmin.queries import support as queries
from payadmin.work import SYSTEM
from tests.support.conftest import Care
from tests.support.signin import enter_as


def letter(email: str, number: int) -> Incoming:
    return Incoming((email,), f"<{number}@x>", is_automatic=False, text=f"No. {number}", files=(("a.txt", b"hi"),))


def test_of_too_many_mails_within_a_day_the_rest_comes_later(
    app: Flask, care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talking, "MOST_MAILS", 3, raising=False)
    boss, customer = care.manager(), care.customer(email="ann@example.com")
    ticket, email = care.ticket(boss, customer), "ann@example.com"
    for number in range(3):
        assert support.take_mail(SYSTEM, ticket, letter(email, number))
    with pytest.raises(Conflict) as refusal:
        support.take_mail(SYSTEM, ticket, letter(email, 3))
    assert "is_closed" not in refusal.value.data, "the server keeps it and tries again"
    assert not support.take_mail(SYSTEM, ticket, letter(email, 2)), "one that is known is taken off the queue"
    db.session.rollback()
    assert db.session.query(TicketFile).count() == 3
    folder = app.extensions["payadmin.settings"].files_folder / "tickets"
    kept = {file.stored for file in db.session.query(TicketFile)}
    assert {path.name for path in folder.glob("*/*") if path.name in kept} == kept
    assert care.row(ticket).status is TicketStatus.OPEN


def test_a_page_reads_the_latest_of_very_much_and_leads_to_the_older_ones(
    app: Flask, care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    for number in range(4):
        support.note_ticket(boss, ticket, body=f"Note {number}", key=f"n{number}")
    monkeypatch.setattr(queries, "MOST_READ", 2, raising=False)
    db.session.rollback()
    latest = queries.messages_of(db.session(), [ticket])
    assert ([each.body for each in latest.rows], latest.is_cut) == (["Note 2", "Note 3"], True)
    older = queries.messages_of(db.session(), [ticket], before=latest.rows[0].id)
    assert [each.body for each in older.rows][-2:] == ["Note 0", "Note 1"]
    assert not queries.messages_of(db.session(), [ticket + 1], before=latest.rows[0].id).rows
    page = enter_as(app, boss.staff_id or 0)
    shown = page.get(f"/tickets/{ticket}/").text
    assert "There are older messages." in shown
    assert f'href="/tickets/{ticket}/?before={latest.rows[0].id}"' in shown
    before = page.get(f"/tickets/{ticket}/?before={latest.rows[0].id}").text
    assert "Note 1" in before
    assert "Note 2" not in before


def test_a_codeword_of_ones_own_making_opens_no_more_than_reveals_do(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reveals, "MOST_AN_HOUR", 2)
    boss, strangers = care.manager(), [care.customer(word=None).id for _number in range(3)]
    for customer_id in strangers[:2]:
        support.set_codeword(boss, customer_id, codeword="Green Otter", reason="Showed a passport.")
    with pytest.raises(Conflict, match="revealed"):
        support.set_codeword(boss, strangers[2], codeword="Green Otter", reason="Showed a passport.")
    with pytest.raises(Conflict, match="no codeword"):
        support.compare_codeword(boss, strangers[2], codeword="Green Otter")
