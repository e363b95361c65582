"""Many who decide about one proposal at once: it is done once, exactly as it was proposed, never by its maker (P17)."""

from functools import partial

from flask import Flask
from sqlalchemy import func, select

from payadmin.actions import tariffs
from payadmin.actions.approvals import Decision, approve_request
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.kernel.tariffs import Term, TransactionType
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.tariffs import Contract, ContractVersion
from payadmin.permissions import Role
from payadmin.queries.tariffs import in_force, terms_of
from tests.support.approvals import Room, filed
from tests.support.races import at_once

REQUESTS = 150


def test_two_cfos_and_the_maker_decide_at_once_and_each_proposal_is_done_once(app: Flask, room: Room) -> None:
    maker = room.person(Role.FINANCIAL_SPECIALIST)
    checkers = [room.person(Role.CFO), room.person(Role.CFO), room.person(Role.CFO, same_as=maker)]
    contract_id = tariffs.open_contract(
        checkers[0], code="RETAIL-1", name="Retail", terms=[Term(TransactionType.PAYMENT, "EUR")]
    )
    for turn in range(1, REQUESTS + 1):
        db.session.rollback()
        version = db.session.get_one(Contract, contract_id).version
        wanted = [Term(TransactionType.PAYMENT, "EUR", rate_ppm=turn)]
        request_id = filed(partial(tariffs.add_version, maker, contract_id, terms=wanted, version=version))
        forms = [room.confirm(checker, request_id) for checker in checkers]
        said = at_once(
            app,
            [
                partial(approve_request, checker, request_id, reason=None, **form)
                for checker, form in zip(checkers, forms, strict=True)
            ],
        )
        # The maker is refused as the maker, or too late like whoever came second.
        assert isinstance(said[2], Forbidden | Conflict), said
        done = [each.status for each in said if isinstance(each, Decision)]
        assert (done, sum(isinstance(each, Conflict) for each in said[:2])) == ([ApprovalStatus.APPLIED], 1), said
        current = in_force(db.session(), contract_id, utcnow())
        assert current is not None
        assert (current.number, [row.term for row in terms_of(db.session(), [current.id])[current.id]]) == (
            turn + 1, wanted,
        )  # fmt: skip
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(ContractVersion)) == REQUESTS + 1
    applied = select(func.count()).where(ApprovalRequest.status == ApprovalStatus.APPLIED)
    assert db.session.scalar(applied) == REQUESTS
