"""Tickets: opened once, moved as the machine says, due in time, merged for good; nothing half done."""

import datetime as dt
import os
import struct
import time
import zlib

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from payadmin.actions import access, support
from payadmin.actions.support import talking
from payadmin.db import db, utcnow
from payadmin.jobs.support import sweep_ticket_files
from payadmin.jobs.sweeping import FORGET_FILES_SECONDS
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Notification
from payadmin.models.support import (
    TARGETS,
    MessageKind,
    Ticket,
    TicketChannel,
    TicketFile,
    TicketPriority,
    TicketStatus,
)
from payadmin.work import SYSTEM
from tests.support.conftest import Care
from tests.support.make import writing

S = TicketStatus


def chunk(name: bytes, body: bytes) -> bytes:
    """A part of a PNG, with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*more: bytes) -> bytes:
    """A picture of one pixel, with other parts in the middle of it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


PNG = png()


def shift(ticket_id: int, **by: dt.timedelta) -> None:
    """Let time pass: the ticket's moments lie further back."""
    writing()
    row = db.session.execute(select(*(getattr(Ticket, name) for name in by)).where(Ticket.id == ticket_id)).one()
    moved = {name: getattr(row, name) - length for name, length in by.items()}
    statement = update(Ticket).where(Ticket.id == ticket_id).values(**moved)
    db.session.execute(statement.execution_options(explained=True, synchronize_session=False))
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()


def count(model: type) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_a_form_that_is_sent_twice_opens_one_ticket(care: Care) -> None:
    boss, customer = care.manager(), care.customer()
    first = care.ticket(boss, customer, key="same")
    assert care.ticket(boss, customer, key="same") == first
    row = care.row(first)
    assert (row.number, row.status, row.codeword_verified) == (f"T-{first:06}", S.OPEN, False)
    assert abs(row.due_at - row.created_at - TARGETS[TicketPriority.NORMAL]) < dt.timedelta(seconds=1)
    assert [each.kind for each in care.messages(first)] == [MessageKind.CUSTOMER]


@pytest.mark.parametrize(
    ("_case", "values", "field"),
    [
        ("no subject", {"subject": " \n"}, "subject"),
        ("a long subject", {"subject": "x" * 201}, "subject"),
        ("no words", {"body": "\x00 "}, "body"),
        ("too many words", {"body": "x" * 20_001}, "body"),
        ("a team that is none", {"team_id": 99}, "team_id"),
        ("somebody else's payment", {"payment": "T-NOBODY"}, "payment"),
    ],
)
def test_a_ticket_that_makes_no_sense_is_refused_at_its_field(care: Care, _case: str, values: dict, field: str) -> None:
    boss, customer = care.manager(), care.customer()
    with pytest.raises(Invalid) as refused:
        care.ticket(boss, customer, **values)
    assert (refused.value.field, count(Ticket)) == (field, 0)


def test_card_numbers_are_masked_and_payments_belong_to_the_customer(care: Care) -> None:
    boss, customer = care.manager(), care.customer()
    own, other = care.make.payment(customer_id=customer.id), care.make.payment()
    ticket = care.ticket(boss, customer, subject="Card 4111 1111 1111 1111", body="4111111111111111", payment="")
    row = care.row(ticket)
    assert "1111 1111" not in row.subject
    assert "4111111111111111" not in care.messages(ticket)[0].body
    version = row.version
    with pytest.raises(Invalid):
        support.link_payment(boss, ticket, payment=other.transaction_id, version=version)
    support.link_payment(boss, ticket, payment=own.transaction_id, version=version)
    assert care.row(ticket).payment_id == own.id


def test_the_clock_stops_while_the_customer_is_waited_for(care: Care) -> None:
    boss = care.manager()
    ticket = care.ticket(boss, priority=TicketPriority.URGENT)
    due = care.row(ticket).due_at
    care.move(boss, ticket, S.IN_PROGRESS)
    care.move(boss, ticket, S.WAITING_CUSTOMER)
    assert care.row(ticket).due_at == due
    shift(ticket, paused_at=dt.timedelta(hours=10), due_at=dt.timedelta(hours=10))
    assert not care.row(ticket).is_overdue(utcnow()), "nobody is late while the customer is waited for"
    care.move(boss, ticket, S.IN_PROGRESS)
    late = care.row(ticket).due_at - due
    assert dt.timedelta(0) <= late < dt.timedelta(minutes=1)
    shift(ticket, due_at=dt.timedelta(hours=5))
    assert care.row(ticket).is_overdue(utcnow())


def test_a_ticket_moves_only_as_the_machine_says_and_only_from_what_was_seen(care: Care) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    with pytest.raises(Conflict):
        care.move(boss, ticket, S.REOPENED)
    version = care.row(ticket).version
    care.move(boss, ticket, S.RESOLVED)
    with pytest.raises(Conflict):
        support.move_ticket(boss, ticket, status=S.CLOSED, version=version)
    care.move(boss, ticket, S.REOPENED)
    row = care.row(ticket)
    assert (row.status, row.resolved_at) == (S.REOPENED, None)
    care.move(boss, ticket, S.IN_PROGRESS)
    care.move(boss, ticket, S.RESOLVED)
    care.move(boss, ticket, S.CLOSED)
    with pytest.raises(Conflict):
        support.answer_ticket(boss, ticket, body="Late", key="a")
    with pytest.raises(Conflict):
        support.rank_ticket(boss, ticket, priority=TicketPriority.LOW, version=care.row(ticket).version)


def test_another_priority_moves_the_end_by_the_difference(care: Care) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    row = care.row(ticket)
    due, version = row.due_at, row.version
    support.rank_ticket(boss, ticket, priority=TicketPriority.URGENT, version=version)
    assert care.row(ticket).due_at == due - dt.timedelta(hours=68)


def test_an_answer_is_kept_once_mailed_without_its_text_and_stops_the_clock(care: Care) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    for _turn in range(2):
        support.answer_ticket(boss, ticket, body="It is on <b>its</b> way.", key="one", files=[("a.png", PNG)])
    row = care.row(ticket)
    assert (row.status, row.first_answered_at is not None) == (S.WAITING_CUSTOMER, True)
    mail = db.session.scalars(select(Notification)).one()
    assert "way" not in mail.body, "only those who see the ticket read it"
    assert (count(TicketFile), len(care.messages(ticket))) == (1, 2)


def test_a_note_is_not_mailed_and_moves_nothing(care: Care) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    support.note_ticket(boss, ticket, body="Be kind.", key="n")
    assert (care.row(ticket).status, count(Notification)) == (S.OPEN, 0)


def test_tickets_of_one_customer_are_merged_for_good(care: Care) -> None:
    boss, customer = care.manager(), care.customer()
    first, second, third = (care.ticket(boss, customer) for _number in range(3))
    care.move(boss, second, S.IN_PROGRESS)
    number = care.row(second).number
    assert support.merge_ticket(boss, first, into=number.lower(), version=care.row(first).version) == second
    number = care.row(third).number
    assert support.merge_ticket(boss, second, into=number, version=care.row(second).version) == third
    for each in (first, second):
        row = care.row(each)
        assert (row.status, row.merged_into_id) == (S.CLOSED, third)
    with pytest.raises(Conflict):
        support.merge_ticket(boss, first, into=number, version=care.row(first).version)


@pytest.mark.parametrize("case", ["itself", "another customer's", "a closed one", "none"])
def test_what_cannot_be_merged_stays_as_it_is(care: Care, case: str) -> None:
    boss, customer = care.manager(), care.customer()
    ticket, other = care.ticket(boss, customer), care.ticket(boss, customer if case == "a closed one" else None)
    if case == "a closed one":
        care.move(boss, other, S.CLOSED)
    into = {"itself": care.row(ticket).number, "none": "T-999999"}.get(case, care.row(other).number)
    before = care.row(ticket).version
    with pytest.raises((Invalid, Conflict)) as refused:
        support.merge_ticket(boss, ticket, into=into, version=before)
    assert refused.value.field == "into"
    assert (care.row(ticket).version, care.row(ticket).status) == (before, S.OPEN)


def test_a_ticket_goes_only_to_those_who_see_it(care: Care) -> None:
    boss, other = care.manager(), care.manager()
    mine, theirs = support.make_team(boss, name="Cards"), support.make_team(other, name="Wallets")
    agent, stranger = care.agent(boss, mine), care.agent(other, theirs)
    ticket = care.ticket(boss, team_id=mine)

    def assign(actor, team_id, assignee_id):
        version = care.row(ticket).version
        support.assign_ticket(actor, ticket, team_id=team_id, assignee_id=assignee_id, version=version)

    with pytest.raises(Invalid):
        assign(boss, mine, stranger.staff_id)
    assign(agent, mine, agent.staff_id)
    with pytest.raises(Invalid):
        assign(agent, theirs, None)
    with pytest.raises(NotFound):
        assign(stranger, mine, None)
    support.put_into_team(boss, agent.staff_id, team_id=None)
    assert care.row(ticket).assignee_id is None, "no ticket waits for somebody who does not see it"
    with pytest.raises(NotFound):
        assign(agent, mine, None)


def test_an_scc_without_a_team_opens_nothing_and_a_team_counts_only_for_its_own_manager(care: Care) -> None:
    boss, other = care.manager(), care.manager()
    team = support.make_team(boss, name="Cards")
    alone, agent = care.agent(boss), care.agent(boss, team)
    with pytest.raises(Conflict):
        care.ticket(alone)
    ticket = care.ticket(agent)
    assert care.row(ticket).team_id == team
    access.edit_staff(
        SYSTEM, agent.staff_id, full_name="Moved", email="moved@example.com", mobile=None, organization_id=None,
        manager_id=other.staff_id,
    )  # fmt: skip
    with pytest.raises(NotFound):
        support.note_ticket(agent, ticket, body="Still here?", key="n")


def test_teams_belong_to_their_manager(care: Care) -> None:
    boss, other = care.manager(), care.manager()
    team = support.make_team(boss, name="Cards")
    with pytest.raises(Conflict):
        support.make_team(other, name="Cards")
    with pytest.raises(NotFound):
        support.rename_team(other, team, name="Mine", version=1)
    with pytest.raises(Exception, match="no SCC of yours"):
        support.put_into_team(other, care.agent(boss).staff_id, team_id=None)
    support.rename_team(boss, team, name="Payments", version=1)
    with pytest.raises(Conflict):
        support.rename_team(boss, team, name="Others", version=1)


def test_files_are_encrypted_and_each_fetch_stands_in_the_trail(care: Care, app: Flask) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    support.note_ticket(boss, ticket, body="See", key="n", files=[("../../we\u202eird.exe", PNG)])
    file = db.session.scalars(select(TicketFile)).one()
    file_id, folder = file.id, app.extensions["payadmin.settings"].files_folder
    assert file.name == "weird.png"
    kept = (folder / "tickets" / file.stored[:2] / file.stored).read_bytes()
    assert PNG not in kept
    assert b"IHDR" not in kept
    fetched = 0
    for _turn in range(3):
        name, kind, stored = support.fetch_file(boss, ticket, file_id=file_id)
        assert support.fetch(app.extensions["payadmin.settings"], stored) == PNG
        fetched += 1
    rows = select(func.count()).where(AuditEvent.event == "support.file.fetched", AuditEvent.outcome == "done")
    assert (name, kind, db.session.scalar(rows)) == ("weird.png", "image/png", fetched)
    other = care.ticket(boss)
    with pytest.raises(NotFound):
        support.fetch_file(boss, other, file_id=file_id)


@pytest.mark.parametrize(
    ("_case", "name", "content"),
    [
        ("nothing", "a.txt", b""),
        ("a program", "a.pdf", b"MZ\x90\x00" + b"\x00" * 40),
        ("a page with a NUL", "a.txt", b"<html>\x00"),
        ("half a PDF", "a.pdf", b"%PDF-1.7 nothing more"),
        ("text that is none", "a.txt", b"\xff\xfe\x00hi"),
        ("too much", "a.txt", b"x" * (10 * 1024 * 1024 + 1)),
    ],
)
def test_other_files_are_refused_and_nothing_is_left_behind(
    care: Care, app: Flask, _case: str, name: str, content: bytes
) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    folder = app.extensions["payadmin.settings"].files_folder / "tickets"
    before = sorted(folder.rglob("*"))
    with pytest.raises(Invalid) as refused:
        support.answer_ticket(boss, ticket, body="See", key="a", files=[("ok.png", PNG), (name, content)])
    assert refused.value.field == "files"
    assert (sorted(folder.rglob("*")), count(TicketFile), len(care.messages(ticket))) == (before, 0, 1)


def test_an_answer_that_is_refused_leaves_no_file(care: Care, app: Flask) -> None:
    boss = care.manager()
    ticket = care.ticket(boss)
    folder = app.extensions["payadmin.settings"].files_folder / "tickets"
    before = [path for path in folder.rglob("*") if path.is_file()]
    with pytest.raises(Invalid):
        support.answer_ticket(boss, ticket, body=" ", key="a", files=[("ok.png", PNG)])
    assert [path for path in folder.rglob("*") if path.is_file()] == before


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_file_whose_row_never_came_is_swept_and_one_that_has_a_row_stays(
    care: Care, app: Flask, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """The process dies in the transaction, or after a commit whose answer is lost."""
    boss, settings = care.manager(), app.extensions["payadmin.settings"]
    ticket = care.ticket(boss)
    folder = settings.files_folder / "tickets"
    before = {path for path in folder.rglob("*") if path.is_file()}
    act = talking._note

    def die(*args: object, **values: object) -> None:
        if is_committed:
            act(*args, **values)
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(talking, "_note", die)
        with pytest.raises(RuntimeError):
            support.note_ticket(boss, ticket, body="See", key="n", files=[("a.png", PNG)])
    db.session.rollback()
    [left] = [path for path in folder.rglob("*") if path.is_file() and path not in before]
    assert sweep_ticket_files(settings) == 0, "it may still be on its way"
    old = time.time() - FORGET_FILES_SECONDS - 1
    for path in folder.rglob("*"):
        os.utime(path, (old, old))
    sweep_ticket_files(settings)
    assert left.exists() is is_committed
    assert count(TicketFile) == int(is_committed)
    if is_committed:
        assert support.fetch(settings, db.session.scalars(select(TicketFile.stored)).one()) == PNG


def test_channels_are_kept(care: Care) -> None:
    boss = care.manager()
    for channel in TicketChannel:
        assert care.row(care.ticket(boss, channel=channel)).channel is channel
