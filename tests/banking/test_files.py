"""Payment files: made once, released by another person, and never two of them for one request."""

import dataclasses
import datetime as dt
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from payadmin.actions import banking, redeem, risk
from payadmin.db import db, utcnow
from payadmin.jobs import banking as jobs
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.banking import PaymentFile, PaymentFileLine
from payadmin.models.parties import CustomerStatus
from payadmin.models.risk import BlockReason, BlockStop, BlockTarget
from payadmin.models.wallets import Wallet
from payadmin.permissions import Role
from payadmin.queries.blocks import Blocked
from payadmin.work import SYSTEM
from tests.banking.conftest import Banking
from tests.support.crash import Crash, crash_at
from tests.support.races import together


def test_a_file_holds_what_is_approved_in_its_unit_and_nothing_twice(by_hand: Banking) -> None:
    first, second = by_hand.approved(10_00, 20_00)
    by_hand.approved(5_00, unit="GBP")
    waits = by_hand.submit(by_hand.customer(funds=1_00), 1_00, redeem_bank())
    file_id = by_hand.made()
    assert [line.redeem_request_id for line in by_hand.payments(file_id)] == [first, second]
    assert (by_hand.file(file_id).amount_minor, by_hand.file(file_id).payments) == (30_00, 2)
    with pytest.raises(Conflict, match="No approved request"):
        by_hand.made()
    assert by_hand.requests([first, waits]) == ["APPROVED", "SUBMITTED"]
    banking.discard_file(by_hand.accountant, file_id, version=by_hand.file(file_id).version)
    assert by_hand.states(by_hand.made()) == ["WAITING", "WAITING"]


def redeem_bank() -> Any:
    from payadmin.models.redeem import RedeemChannel

    return RedeemChannel.BANK_TRANSFER


def test_whoever_made_it_does_not_release_it(by_hand: Banking) -> None:
    by_hand.approved(10_00)
    file_id = by_hand.made()
    with pytest.raises(Forbidden, match="Somebody else"):
        by_hand.release(file_id, by_hand.accountant)
    twin = by_hand.person(Role.ACCOUNTANT, same_as=by_hand.accountant)
    with pytest.raises(Forbidden, match="Somebody else"):
        by_hand.release(file_id, twin)
    with pytest.raises(Invalid, match="wrong"):
        by_hand.release(file_id, code="000000")
    with pytest.raises(Forbidden):
        by_hand.release(file_id, by_hand.cashier)
    by_hand.release(file_id, by_hand.cfo)
    assert by_hand.file(file_id).status.name == "RELEASED"


def test_what_waits_must_be_what_was_seen(by_hand: Banking) -> None:
    by_hand.approved(10_00)
    with pytest.raises(Conflict, match="has changed"):
        by_hand.made(seen=(1, 9_00))
    key = banking.new_key()
    assert by_hand.made(seen=(1, 10_00), key=key) == by_hand.made(seen=(1, 10_00), key=key)
    by_hand.approved(7_00, unit="GBP")
    with pytest.raises(Conflict, match="another file"):
        by_hand.made("GBP", key=key)
    with pytest.raises(Invalid, match="out of date"):
        by_hand.made("GBP", key="../../etc")


def test_a_request_that_was_cancelled_or_blocked_meanwhile_keeps_the_file_here(by_hand: Banking) -> None:
    first, _second = by_hand.approved(10_00, 20_00)
    file_id = by_hand.made()
    by_hand.cancel(first)
    with pytest.raises(Conflict, match="not approved"):
        by_hand.release(file_id)
    banking.discard_file(by_hand.accountant, file_id, version=by_hand.file(file_id).version)
    again = by_hand.made()
    by_hand.put(by_hand.row(first).wallet_id, status=CustomerStatus.BLOCKED)
    with pytest.raises(Conflict):
        by_hand.release(again)
    assert by_hand.file(again).status.name == "DRAFT"
    banking.discard_file(by_hand.accountant, again, version=by_hand.file(again).version)
    with pytest.raises(Conflict, match="No approved request"):
        by_hand.made()  # whoever cannot be paid is left out


@pytest.mark.parametrize("target", [BlockTarget.CUSTOMER, BlockTarget.WALLET])
def test_a_block_after_the_release_keeps_the_file_here(
    app: Flask, by_hand: Banking, monkeypatch: pytest.MonkeyPatch, target: BlockTarget
) -> None:
    """Nothing of it leaves, by a worker or by hand, until the block is lifted or the file is given up."""
    file_id, requests = by_hand.out(10_00)
    wallet_id = by_hand.row(requests[0]).wallet_id
    row_id = wallet_id if target is BlockTarget.WALLET else by_hand.get(Wallet, wallet_id).customer_id
    fraud = by_hand.person(Role.ANTI_FRAUD)

    def block() -> int:
        return risk.block(fraud, target=target, row_id=row_id, reason_code=BlockReason.SANCTIONS, note="Listed")

    def stops(number: int) -> list[str]:
        db.session.rollback()
        return list(
            db.session.scalars(select(BlockStop.act).where(BlockStop.block_id == number).order_by(BlockStop.id))
        )

    number = block()
    with pytest.raises(Blocked, match=str(by_hand.row(requests[0]))):
        banking.download_file(by_hand.second, file_id)
    assert stops(number) == ["banking.download_file"]
    for _turn in range(3):
        assert banking.claim_file(SYSTEM, file_id) is None
    file = by_hand.file(file_id)
    assert (file.status.name, file.attempts, file.by_hand) == ("RELEASED", 0, False)
    assert str(by_hand.row(requests[0])) in (file.problem or "")
    assert stops(number) == ["banking.download_file", "banking.claim_file"], "once, however often it is tried"
    risk.lift_block(fraud, number, reason="It was somebody else")
    sending = banking.claim_file(SYSTEM, file_id)
    assert sending is not None
    assert (sending.attempt, by_hand.file(file_id).problem, by_hand.file(file_id).held_at) == (1, None, None)
    block()
    assert banking.claim_file(SYSTEM, file_id) is None
    settings = dataclasses.replace(app.extensions["payadmin.settings"], bank_url="http://127.0.0.1:9")
    monkeypatch.setitem(app.extensions, "payadmin.settings", settings)
    lines = by_hand.payments(file_id)
    assert "still asking" in str(banking.why_not_given_up(by_hand.file(file_id), lines)), "it may be under way"
    held = {"held_at": utcnow() - dt.timedelta(minutes=16)}
    with db.engine.begin() as connection:
        connection.execute(update(PaymentFile).where(PaymentFile.id == file_id).values(**held))
    banking.give_up_file(
        by_hand.cfo, file_id, reason="Blocked", **by_hand.confirm_release(file_id, by_hand.cfo, banking.GIVE_UP_ACT)
    )
    assert (by_hand.requests(requests), by_hand.file(file_id).status.name) == (["FAILED"], "REJECTED")


def test_without_an_account_of_ours_no_file_is_made(
    app: Flask, by_hand: Banking, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand.approved(10_00)
    settings = dataclasses.replace(app.extensions["payadmin.settings"], bank_iban="")
    monkeypatch.setitem(app.extensions, "payadmin.settings", settings)
    with pytest.raises(Conflict, match="BANK_IBAN"):
        by_hand.made()


def test_what_was_downloaded_is_not_sent_by_a_worker_too(
    app: Flask, by_hand: Banking, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id, requests = by_hand.out(10_00)
    name, content = banking.download_file(by_hand.second, file_id)
    assert (name, content[:5]) == (f"{by_hand.file(file_id).message_id}.xml", b"<?xml")
    settings = dataclasses.replace(app.extensions["payadmin.settings"], bank_url="http://127.0.0.1:9")
    monkeypatch.setitem(app.extensions, "payadmin.settings", settings)
    assert jobs.send_payment_file(file_id=file_id) is None
    jobs.ask_bank(turn=1)
    assert (by_hand.file(file_id).attempts, by_hand.requests(requests)) == (0, ["SENT"])


def test_of_two_who_make_release_or_cancel_at_once_one_wins(app: Flask, by_hand: Banking) -> None:
    (number,) = by_hand.approved(10_00)
    made, _failed = together(
        app,
        lambda: banking.make_file(by_hand.accountant, unit="EUR", key=banking.new_key()).id,
        lambda: banking.make_file(by_hand.second, unit="EUR", key=banking.new_key()).id,
    )
    assert len(made) == 1
    assert by_hand.count(PaymentFileLine) == 1
    file_id = made[0]
    others = [each for each in (by_hand.cfo, by_hand.second, by_hand.accountant)
              if each.staff_id != by_hand.file(file_id).made_by_id]  # fmt: skip
    forms = [(each, by_hand.confirm_release(file_id, each)) for each in others]
    version = by_hand.row(number).version
    results, failures = together(
        app,
        *(lambda each=each, form=form: banking.release_file(each, file_id, **form).id for each, form in forms),
        lambda: redeem.cancel(by_hand.accountant, number, reason="No", version=version).id,
    )
    assert len(results) == 1, failures
    assert all(isinstance(each, Conflict) for each in failures)
    state = (by_hand.file(file_id).status.name, by_hand.requests([number]))
    assert state in [("RELEASED", ["SENT"]), ("DRAFT", ["CANCELLED"])]
    assert by_hand.unsound() == []


@pytest.mark.parametrize("after", [False, True])
def test_a_release_that_dies_is_whole_or_not_at_all(by_hand: Banking, after: bool) -> None:
    requests = by_hand.approved(10_00, 20_00)
    file_id = by_hand.made()
    form = by_hand.confirm_release(file_id)
    with crash_at(1, after=after), pytest.raises(Crash):
        banking.release_file(by_hand.second, file_id, **form)
    db.session.rollback()
    expected = ("RELEASED", ["SENT", "SENT"]) if after else ("DRAFT", ["APPROVED", "APPROVED"])
    assert (by_hand.file(file_id).status.name, by_hand.requests(requests)) == expected
    assert by_hand.count(PaymentFile) == 1
