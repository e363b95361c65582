"""Contracts and cashback: the CFO changes at once, the Financial specialist proposes, and nothing past ever changes."""

import datetime as dt
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from payadmin.actions import tariffs
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.tariffs import MOST_TERMS, FundedBy, Term, TransactionType
from payadmin.models.approvals import ApprovalStatus
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.tariffs import CashbackProfile, Contract, ContractStatus, ContractVersion
from payadmin.permissions import Role
from payadmin.queries.tariffs import in_force, profile_of, ruling, terms_of
from payadmin.work import Actor
from tests.support.approvals import Room, filed
from tests.support.desk import told, trail
from tests.support.pages import post

K = TransactionType
PAYMENT = Term(K.PAYMENT, "EUR", 25_000, 30)
DEARER = Term(K.PAYMENT, "EUR", 30_000, 30)
DAY = dt.timedelta(days=1)


@pytest.fixture
def cfo(room: Room) -> Actor:
    return room.person(Role.CFO)


@pytest.fixture
def specialist(room: Room) -> Actor:
    return room.person(Role.FINANCIAL_SPECIALIST)


def opened(actor: Actor, code: str = "RETAIL-1", *terms: Term) -> int:
    found: int = tariffs.open_contract(actor, code=code, name="Retail", terms=terms or (PAYMENT,))
    return found


def contract(contract_id: int) -> Contract:
    db.session.rollback()
    return db.session.get_one(Contract, contract_id, populate_existing=True)


def said(contract_id: int, at: dt.datetime | None = None) -> list[Term]:
    version = in_force(db.session(), contract_id, at or utcnow())
    return [row.term for row in terms_of(db.session(), [version.id])[version.id]] if version is not None else []


def test_the_cfo_changes_a_contract_at_once_and_the_old_version_stays(cfo: Actor) -> None:
    contract_id = opened(cfo)
    before = utcnow()
    number = tariffs.add_version(cfo, contract_id, terms=[DEARER], version=contract(contract_id).version)
    assert (number, said(contract_id), said(contract_id, before)) == (2, [DEARER], [PAYMENT])
    events = [entry.event for entry in trail() if entry.event.startswith("tariffs.")]
    assert events.count("tariffs.contract_version.added") == 2
    assert events.count("tariffs.contract_term.set") == 2


def test_a_version_that_begins_later_is_not_in_force_before(cfo: Actor) -> None:
    contract_id, later = opened(cfo), utcnow() + 30 * DAY
    seen = contract(contract_id).version
    tariffs.add_version(cfo, contract_id, terms=[DEARER], version=seen, valid_from=later)
    assert said(contract_id) == [PAYMENT]
    assert said(contract_id, later) == [DEARER]
    # What begins before it takes the place of what is in force, not of what is to come.
    with pytest.raises(Invalid, match="in force then already"):
        tariffs.add_version(cfo, contract_id, terms=[PAYMENT], version=contract(contract_id).version)
    tariffs.withdraw_version(cfo, contract_id, number=2, version=contract(contract_id).version)
    assert said(contract_id, later + DAY) == [PAYMENT]


def test_a_specialist_proposes_and_nothing_changes_until_the_cfo_approves(
    room: Room, cfo: Actor, specialist: Actor
) -> None:
    contract_id = opened(cfo)
    seen = contract(contract_id).version
    asked = partial(tariffs.add_version, specialist, contract_id, terms=[DEARER], version=seen, note="Dearer cards")
    request_id = filed(asked)
    assert (said(contract_id), contract(contract_id).last_number) == ([PAYMENT], 1)
    request = room.request(request_id)
    assert (request.kind, request.title) == ("contract", "New version of contract RETAIL-1")
    [term] = [each for each in request.effects if each["event"] == "tariffs.contract_term.set"]
    assert (term["before"]["percentage"], term["after"]["percentage"]) == ("2.5%", "3%")
    room.approve(cfo, request_id)
    db.session.rollback()
    assert said(contract_id) == [DEARER]
    version = in_force(db.session(), contract_id, utcnow())
    assert version is not None
    assert (version.author_id, version.approved_by) == (specialist.staff_id, cfo.name)


def test_a_proposal_goes_out_of_date_when_the_contract_changes_meanwhile(
    room: Room, cfo: Actor, specialist: Actor
) -> None:
    contract_id = opened(cfo)
    seen = contract(contract_id).version
    request_id = filed(partial(tariffs.add_version, specialist, contract_id, terms=[DEARER], version=seen))
    third = Term(K.PAYMENT, "EUR", 40_000)
    tariffs.add_version(cfo, contract_id, terms=[third], version=contract(contract_id).version)
    decision = room.approve(cfo, request_id)
    assert decision.status is ApprovalStatus.STALE
    assert said(contract_id) == [third]
    assert any(each["key"] == "last_number" for each in room.request(request_id).differences or ())


def test_two_specialists_cannot_propose_for_one_contract_at_a_time(room: Room, cfo: Actor, specialist: Actor) -> None:
    contract_id = opened(cfo)
    seen = contract(contract_id).version
    filed(partial(tariffs.add_version, specialist, contract_id, terms=[DEARER], version=seen))
    with pytest.raises(Conflict, match="waits for approval"):
        tariffs.add_version(
            room.person(Role.FINANCIAL_SPECIALIST), contract_id, terms=[Term(K.SALE, "EUR")], version=seen
        )


def test_a_specialist_cannot_approve_and_others_cannot_propose(room: Room, cfo: Actor, specialist: Actor) -> None:
    request_id = filed(partial(opened, specialist, "NEW-1"))
    for actor in (specialist, room.person(Role.FINANCIAL_SPECIALIST), room.person(Role.ADMIN)):
        with pytest.raises(Forbidden):
            room.approve(actor, request_id)
    for role in set(Role) - {Role.CFO, Role.FINANCIAL_SPECIALIST}:
        with pytest.raises(Forbidden):
            opened(room.person(role), "NEW-2")


def test_a_whole_contract_is_proposed_and_made_when_approved(room: Room, cfo: Actor, specialist: Actor) -> None:
    request_id = filed(partial(opened, specialist, "NEW-1"))
    assert db.session.query(Contract).count() == 0
    room.approve(cfo, request_id)
    db.session.rollback()
    made = db.session.query(Contract).one()
    assert said(made.id) == [PAYMENT]


def test_bad_versions_are_refused_and_change_nothing(cfo: Actor) -> None:
    contract_id = opened(cfo)
    seen = contract(contract_id).version
    past = utcnow() - DAY
    for terms, begins in (
        ([PAYMENT, DEARER], None),
        ([Term(K.PAYMENT, "XXX")], None),
        ([Term(K.PAYMENT, "EUR", 1_000_001)], None),
        ([DEARER], past),
        ([PAYMENT], None),  # the same as before
    ):
        with pytest.raises(Invalid):
            tariffs.add_version(cfo, contract_id, terms=terms, version=seen, valid_from=begins)
    with pytest.raises(Conflict):
        tariffs.add_version(cfo, contract_id, terms=[DEARER], version=seen + 1)
    assert (said(contract_id), contract(contract_id).version) == ([PAYMENT], seen)


def test_two_versions_cannot_begin_at_one_moment(cfo: Actor) -> None:
    contract_id, later = opened(cfo), utcnow() + DAY
    tariffs.add_version(cfo, contract_id, terms=[DEARER], version=contract(contract_id).version, valid_from=later)
    with pytest.raises(Conflict, match="begins at this moment"):
        tariffs.add_version(
            cfo, contract_id, terms=[Term(K.SALE, "EUR")], version=contract(contract_id).version, valid_from=later
        )


def test_an_organization_has_one_contract_and_a_used_one_is_not_closed(room: Room, cfo: Actor) -> None:
    first, second = opened(cfo, "A-1"), opened(cfo, "A-2", DEARER)
    shop = room.make.organization()
    for each in (first, second):
        tariffs.assign_contract(cfo, shop.id, contract_id=each)
    db.session.rollback()
    found = ruling(db.session(), shop.id, K.PAYMENT, "EUR", utcnow())
    assert found is not None
    assert found.term == DEARER
    assert ruling(db.session(), shop.id, K.SALE, "EUR", utcnow()) is None
    with pytest.raises(Conflict, match="One organization has this contract"):
        tariffs.set_contract_status(cfo, second, is_open=False, version=contract(second).version)
    tariffs.set_contract_status(cfo, first, is_open=False, version=contract(first).version)
    assert contract(first).status is ContractStatus.CLOSED
    with pytest.raises(Conflict, match="closed"):
        tariffs.assign_contract(cfo, shop.id, contract_id=first)
    tariffs.assign_contract(cfo, shop.id, contract_id=None)
    db.session.rollback()
    assert ruling(db.session(), shop.id, K.PAYMENT, "EUR", utcnow()) is None


@pytest.mark.parametrize(
    ("day", "zone"), [("0001-01-01", "Europe/Berlin"), ("9999-12-31", "America/New_York")], ids=["first", "last"]
)
def test_a_day_at_the_end_of_the_calendar_is_refused(room: Room, day: str, zone: str) -> None:
    term = {"terms-0-transaction_type": "PAYMENT", "terms-0-unit": "EUR", "terms-0-charged_to": "PAYEE"}
    client = room.make.browse(Role.CFO)
    with told(room.app, business_tz=zone):
        answer = post(client, "/contracts/new/", code="FAR-1", name="Far", valid_from=day, **term)
    assert answer.status_code == 422
    db.session.rollback()
    assert db.session.query(Contract).count() == 0


def test_a_contract_has_no_more_terms_than_its_form(room: Room) -> None:
    kinds = {f"terms-{number}-unit": "EUR" for number in range(MOST_TERMS)}
    answer = post(room.make.browse(Role.CFO), "/contracts/new/", more="1", **kinds)
    assert answer.status_code == 200


def test_giving_a_contract_is_proposed_too(room: Room, cfo: Actor, specialist: Actor) -> None:
    contract_id, shop = opened(cfo), room.make.organization()
    request_id = filed(partial(tariffs.assign_contract, specialist, shop.id, contract_id=contract_id))
    room.approve(cfo, request_id)
    db.session.rollback()
    assert db.session.get_one(Organization, shop.id).contract_id == contract_id


def test_what_was_in_force_cannot_be_changed_even_in_the_database(cfo: Actor) -> None:
    opened(cfo)
    db.session.rollback()
    for statement in (
        "UPDATE contract_version SET valid_from = created_at, note = 'x'",
        "DELETE FROM contract_version",
        "UPDATE contract_term SET rate_ppm = 0",
        "DELETE FROM contract_term",
    ):
        with pytest.raises(DatabaseError, match="never changed"):
            db.session.execute(text(statement))
        db.session.rollback()
    assert db.session.query(ContractVersion).count() == 1


def profile(actor: Actor, **values: object) -> int:
    given = {
        "name": "Spring", "unit": "EUR", "rate_ppm": 10_000, "cap_minor": 500, "cap_month_minor": 2_000,
        "funded_by": FundedBy.SYSTEM, "valid_from": dt.date(2026, 1, 1), "valid_to": None,
    } | values  # fmt: skip
    found: int = tariffs.save_profile(actor, **given)
    return found


def test_cashback_profiles_are_proposed_and_hold_only_on_their_days(room: Room, cfo: Actor, specialist: Actor) -> None:
    request_id = filed(partial(profile, specialist, valid_to=dt.date(2026, 6, 30)))
    assert room.request(request_id).kind == "cashback"
    room.approve(cfo, request_id)
    db.session.rollback()
    made, shop = db.session.query(CashbackProfile).one().id, room.make.organization()
    tariffs.assign_profile(cfo, shop.id, profile_id=made)
    db.session.rollback()
    days = [dt.date(2025, 12, 31), dt.date(2026, 1, 1), dt.date(2026, 6, 30), dt.date(2026, 7, 1)]
    found = [profile_of(db.session(), shop.id, day) is not None for day in days]
    assert found == [False, True, True, False]
    with pytest.raises(Invalid):
        tariffs.assign_profile(cfo, room.make.organization("Bank", kind=OrganizationKind.ISSUER).id, profile_id=made)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"rate_ppm": 0}, "rate_ppm"),
        ({"rate_ppm": 1_000_001}, "rate_ppm"),
        ({"cap_minor": 0}, "cap_minor"),
        ({"cap_minor": 3_000}, "cap_minor"),
        ({"valid_to": dt.date(2025, 1, 1)}, "valid_to"),
        ({"unit": "XXX"}, "unit"),
        ({"name": " "}, "name"),
    ],
)
def test_bad_profiles_are_refused(cfo: Actor, values: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        profile(cfo, **values)
    assert caught.value.field == field
    assert db.session.query(CashbackProfile).count() == 0
