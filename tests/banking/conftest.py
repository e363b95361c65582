"""The banking room: approved transfers, people who make and release files, and a bank that is a process of its own."""

import dataclasses
import datetime as dt
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from payadmin import step_up
from payadmin.actions import banking
from payadmin.db import db
from payadmin.jobs.banking import match_lines
from payadmin.jobs.runner import drain
from payadmin.kernel.iban import normalised
from payadmin.models.banking import BankLine, BankMessage, PaymentFile, PaymentFileLine
from payadmin.models.redeem import RedeemRequest
from payadmin.work import SYSTEM
from tests.redeem.conftest import BANK, Redeeming
from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.make import Make

# Accounts that mock-bank begins with: ours, one that is closed there, and one at another bank.
OURS, CLOSED, ELSEWHERE = "NL41MOCK0000000001", "NL84MOCK0000000003", "NL30MOCK0000000005"
START_SECONDS = 20


class MockBank:
    """`python -m mockbank`, and what only its owner can do."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # In the morning of today: later than its closing hour it would pay tomorrow.
        clock = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}T09:00"
        command = [sys.executable, "-m", "mockbank", "--port", str(port), "--clock", clock, "-q"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                self.ask("GET", "/_mock/health")
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError("mock-bank did not start")

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(timeout=10)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the bank's own controls."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def days_pass(self, days: int = 5) -> None:
        """Enough for a payment to be booked and its statement to be written, over a weekend too."""
        self.ask("POST", f"/_mock/advance?days={days}")

    def behave(self, behaviour: str, **parameters: Any) -> None:
        """How our account is treated from now on."""
        self.ask("PATCH", "/_mock/accounts/ACME", {"behaviour": behaviour, "parameters": parameters})

    def payments(self) -> list[dict[str, Any]]:
        """What the bank decided on."""
        found: list[dict[str, Any]] = self.ask("GET", "/_mock/payments")
        return found


class Banking(Redeeming):
    """Everything a test of the bank does, in short words."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        self.second = self.other

    def approved(self, *amounts: int, account: str = ELSEWHERE, unit: str = "EUR", **more: Any) -> list[int]:
        """Requests of one customer, approved; their numbers."""
        wallet = self.customer(funds=sum(amounts), unit=unit)
        to = {"holder_name": "Ada Lovelace", "account": account, "bank_code": None} | more
        found = [self.submit(wallet, amount, BANK, **to) for amount in amounts]
        for request_id in found:
            self.approve(request_id)
        return found

    def made(self, unit: str = "EUR", **more: Any) -> int:
        """A file that the accountant makes; its number."""
        return banking.make_file(self.accountant, unit=unit, **({"key": banking.new_key()} | more)).id

    def confirm_release(self, file_id: int, by: Any = None, act: str = banking.RELEASE_ACT) -> dict[str, Any]:
        """What the form of whoever releases carries."""
        actor = by or self.second
        code = self.code(actor)
        file = self.file(file_id)
        with self.app.test_request_context():
            offer = step_up.offer(actor, act, banking.release_facts(file))
        return {"version": file.version, "offer": offer, "code": code}

    def release(self, file_id: int, by: Any = None, **more: Any) -> PaymentFile:
        """The second person lets it leave."""
        return banking.release_file(by or self.second, file_id, **(self.confirm_release(file_id, by) | more))

    def out(self, *amounts: int, **more: Any) -> tuple[int, list[int]]:
        """A released file and its requests."""
        requests = self.approved(*amounts, **more)
        file_id = self.made()
        self.release(file_id)
        return file_id, requests

    def work_off(self) -> None:
        """What workers do."""
        db.session.rollback()
        drain()

    def file(self, file_id: int) -> PaymentFile:
        found: PaymentFile = self.get(PaymentFile, file_id)
        return found

    def payments(self, file_id: int) -> list[PaymentFileLine]:
        db.session.rollback()
        wanted = select(PaymentFileLine).where(PaymentFileLine.file_id == file_id).order_by(PaymentFileLine.id)
        return list(db.session.scalars(wanted))

    def states(self, file_id: int) -> list[str]:
        return [line.status.name for line in self.payments(file_id)]

    def requests(self, numbers: list[int]) -> list[str]:
        return [self.get(RedeemRequest, number).status.name for number in numbers]

    def lines(self) -> list[BankLine]:
        db.session.rollback()
        return list(db.session.scalars(select(BankLine).order_by(BankLine.id)))

    def messages(self) -> list[BankMessage]:
        db.session.rollback()
        return list(db.session.scalars(select(BankMessage).order_by(BankMessage.id)))

    def receive(self, content: bytes) -> BankMessage:
        """Something that the bank sent, with its lines matched."""
        message, _is_new = banking.receive_message(SYSTEM, content)
        match_lines()
        return message

    def statement(self, *entries: str, name: str = "S-1", account: str = OURS, extra: str = "") -> bytes:
        return statement(*entries, name=name, account=account, extra=extra)

    def debit(self, payment: PaymentFileLine, **more: Any) -> str:
        facts = {"reference": payment.end_to_end_id, "minor": payment.amount_minor, "unit": payment.unit} | more
        return entry(**facts)


def entry(
    *,
    reference: str | None,
    minor: int,
    unit: str = "EUR",
    side: str = "DBIT",
    code: str | None = None,
    status: str = "BOOK",
) -> str:
    """An entry of a statement as banks write it."""
    refs = f"<Refs><EndToEndId>{reference}</EndToEndId></Refs>" if reference else ""
    back = f"<RtrInf><Rsn><Cd>{code}</Cd></Rsn></RtrInf>" if code else ""
    amount = f"{minor // 100}.{minor % 100:02d}"
    return (
        f'<Ntry><Amt Ccy="{unit}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd><Sts><Cd>{status}</Cd></Sts>'
        "<BookgDt><Dt>2026-11-20</Dt></BookgDt><ValDt><Dt>2026-11-20</Dt></ValDt>"
        f"<NtryDtls><TxDtls>{refs}{back}</TxDtls></NtryDtls></Ntry>"
    )


def statement(*entries: str, name: str = "S-1", account: str = OURS, extra: str = "") -> bytes:
    """A statement with these entries."""
    return (
        '<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>{name}</MsgId></GrpHdr><Stmt><Id>{name}</Id><Acct><Id><IBAN>{account}</IBAN></Id></Acct>"
        f"{extra}{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def report(
    original: str, *lines: tuple[str, str, str | None], group: str | None = None, extra: str = "", name: str = "R-1"
) -> bytes:
    """A status report: reference, status and code of each payment that it names."""
    said = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{reference}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        + (f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>" if code else "")
        + "</TxInfAndSts>"
        for reference, status, code in lines
    )
    batch = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>x</OrgnlPmtInfId>{said}</OrgnlPmtInfAndSts>" if said else ""
    status = f"<GrpSts>{group}</GrpSts>" if group else ""
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
        f"<GrpHdr><MsgId>{name}</MsgId></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>{original}</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{extra}{status}</OrgnlGrpInfAndSts>{batch}"
        "</CstmrPmtStsRpt></Document>"
    ).encode()


@pytest.fixture
def bank() -> Iterator[MockBank]:
    found = MockBank()
    yield found
    found.stop()


@pytest.fixture
def by_hand(app: Flask, make: Make, monkeypatch: pytest.MonkeyPatch) -> Banking:
    """Our account is known, and no bank answers: files go by hand."""
    settings = dataclasses.replace(app.extensions["payadmin.settings"], bank_iban=normalised(OURS))
    monkeypatch.setitem(app.extensions, "payadmin.settings", settings)
    return Banking(app, make)


@pytest.fixture
def room(by_hand: Banking, bank: MockBank, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Banking:
    """Our account is at mock-bank."""
    settings = dataclasses.replace(app.extensions["payadmin.settings"], bank_url=bank.url)
    monkeypatch.setitem(app.extensions, "payadmin.settings", settings)
    return by_hand


__all__ = ["Banking", "MockBank", "bank", "by_hand", "desk", "entry", "provider_process", "report", "room", "simulator"]
