"""The anti-fraud room: specialists, wallets with money, charges that fall due, and what somebody blocks."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from payadmin.actions import risk
from payadmin.db import db
from payadmin.kernel.tariffs import Term, TransactionType
from payadmin.models.risk import Block, BlockReason, BlockStop, BlockTarget
from payadmin.permissions import Role
from tests.support.billing import Office
from tests.support.desk import Desk, told
from tests.support.desk_fixtures import provider_process, simulator
from tests.support.make import Make
from tests.support.simulator import Simulator
from tests.wallets.conftest import Purses

TRANSFER = TransactionType.TRANSFER


class Watch(Purses):
    """Everything a test of anti-fraud does, in short words."""

    def __init__(self, app: Flask, make: Make) -> None:
        super().__init__(app, make)
        self.other = self.person(Role.ANTI_FRAUD)

    def block(self, target: BlockTarget, row_id: int, **values: Any) -> int:
        """Block something as the specialist does."""
        usual = {"reason_code": BlockReason.SUSPECTED_FRAUD, "note": "Looks wrong"}
        return risk.block(self.fraud, target=target, row_id=row_id, **(usual | values))

    def lift(self, block_id: int) -> None:
        """Lift a block as the specialist does."""
        risk.lift_block(self.fraud, block_id, reason="It was a mistake")

    def stops(self, block_id: int) -> list[str]:
        """Which acts a block stopped, in their order."""
        db.session.rollback()
        return list(
            db.session.scalars(select(BlockStop.act).where(BlockStop.block_id == block_id).order_by(BlockStop.id))
        )

    def age(self, block_id: int) -> None:
        """Let the time of a block be over, before any job has noticed."""
        db.session.rollback()
        with db.engine.begin() as connection:
            past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
            connection.execute(update(Block).where(Block.id == block_id).values(until=past))

    def held(self, **limits: int) -> tuple[int, int, int]:
        """A transfer of 50.00 over a limit of 10.00: the number of its application, and both wallets."""
        payer, payee = self.wallet("Alpha", funds=100_00), self.wallet("Beta")
        self.contract("Alpha", Term(TRANSFER, "EUR", **(limits or {"limit_single_minor": 10_00})))  # type: ignore[arg-type]
        row_id = self.transfer(payer, payee, 50_00).id
        return self.application(row_id).id, payer, payee


@pytest.fixture
def watch(app: Flask, make: Make) -> Watch:
    return Watch(app, make)


@pytest.fixture
def desk(app: Flask, make: Make, simulator: Simulator) -> Iterator[Desk]:
    with told(app, simulator_url=simulator.url, provider_timeout_seconds=1):
        yield Desk(app, make, simulator)


@pytest.fixture
def office(app: Flask, make: Make, simulator: Simulator) -> Iterator[Office]:
    with told(app, simulator_url=simulator.url, provider_timeout_seconds=1):
        yield Office(app, make, simulator)


__all__ = ["Path", "Watch", "desk", "office", "provider_process", "simulator", "watch"]
