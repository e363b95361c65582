"""Usage by API: taken once, corrected by saying it again, refused as a whole, and for nobody else's services."""

import datetime as dt
import threading
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from payadmin.db import db, utcnow
from payadmin.models.api import ApiAnswer
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.usage import LARGEST_COUNT, UsageDaily
from tests.support.programs import Program, make_program
from tests.usage.conftest import World


def entry(**changes: Any) -> dict[str, Any]:
    return {"service": "MAPS", "operation": "geocode", "day": "2026-03-01", "count": 7} | changes


def counts() -> dict[tuple[str, str, str], int]:
    rows = db.session.execute(select(UsageDaily.operation, UsageDaily.day, UsageDaily.source, UsageDaily.operations))
    return {(operation, day.isoformat(), source): operations for operation, day, source, operations in rows}


def events(name: str) -> list[AuditEvent]:
    return list(db.session.scalars(select(AuditEvent).where(AuditEvent.event == name).order_by(AuditEvent.id)))


def test_a_count_is_taken_once_however_often_it_is_said(world: World) -> None:
    program = world.program(world.northwind)
    first = program.post("/usage", {"entries": [entry()]})
    assert (first.status_code, first.get_json()) == (200, {"created": 1, "replaced": 0, "unchanged": 0})
    again = program.post("/usage", {"entries": [entry()]})
    assert again.get_json() == {"created": 0, "replaced": 0, "unchanged": 1}
    assert counts() == {("geocode", "2026-03-01", "api"): 7}
    assert len(events("usage.count.reported")) == 1


def test_another_count_takes_its_place_and_the_trail_says_both(world: World) -> None:
    program = world.program(world.northwind)
    program.post("/usage", {"entries": [entry()]})
    answer = program.post("/usage", {"entries": [entry(count=9)]})
    assert answer.get_json() == {"created": 0, "replaced": 1, "unchanged": 0}
    assert counts() == {("geocode", "2026-03-01", "api"): 9}
    told = events("usage.count.replaced")[0]
    assert (told.before, told.after) == ({"operations": 7}, {"operations": 9})
    assert told.actor_name.startswith(f"API key {program.bearer.prefix}")


def test_sources_and_operations_of_a_day_stand_beside_each_other(world: World) -> None:
    program = world.program(world.northwind)
    several = [entry(), entry(source="edge"), entry(operation="route"), entry(day="2026-03-02"), entry(service="MAIL")]
    assert program.post("/usage", {"entries": several}).get_json()["created"] == 5
    assert db.session.scalar(select(func.sum(UsageDaily.operations))) == 35


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"count": -1}, "count"),
        ({"count": LARGEST_COUNT + 1}, "count"),
        ({"count": 2**63}, "count"),
        ({"count": 10**30}, "count"),
        ({"count": "7"}, "count"),
        ({"count": True}, "count"),
        ({"count": None}, "count"),
        ({"day": "2199-01-01"}, "day"),
        ({"day": "1999-12-31"}, "day"),
        ({"day": "2026-02-29"}, "day"),
        ({"service": "NOTHING"}, "service"),
        ({"service": "SECRET"}, "service"),
        ({"service": "maps"}, "service"),
        ({"operation": ""}, "operation"),
        ({"operation": "x" * 65}, "operation"),
        ({"operation": "a\u0000b"}, "operation"),
        ({"source": "x" * 41}, "source"),
        ({"total": 1}, "total"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_place_and_nothing_is_taken(
    world: World, change: dict[str, Any], pointer: str
) -> None:
    answer = world.program(world.northwind).post("/usage", {"entries": [entry(day="2026-03-02"), entry(**change)]})
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.get_json()["errors"]] == [f"#/entries/1/{pointer}"]
    assert counts() == {}


def test_a_count_that_is_not_whole_is_no_document(world: World) -> None:
    program = world.program(world.northwind)
    body = '{"entries": [{"service": "MAPS", "operation": "x", "day": "2026-03-01", "count": 1.5}]}'
    answer = program.ask("/usage", "POST", data=body, content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed")


@pytest.mark.parametrize(
    ("body", "status"), [({"entries": []}, 422), ({}, 422), ([], 422), ({"entries": [entry()] * 1001}, 422)]
)
def test_a_report_holds_one_to_a_thousand_entries(world: World, body: object, status: int) -> None:
    assert world.program(world.northwind).post("/usage", body).status_code == status


def test_a_body_that_is_too_large_or_of_another_kind_is_refused(world: World) -> None:
    program = world.program(world.northwind)
    large = program.ask("/usage", "POST", data=b" " * 600_000, content_type="application/json")
    assert (large.status_code, large.mimetype) == (413, "application/problem+json")
    assert large.get_json()["code"] == "request_entity_too_large"
    form = program.ask("/usage", "POST", data={"entries": "1"})
    assert (form.status_code, form.get_json()["code"]) == (415, "unsupported_media_type")
    packed = program.ask(
        "/usage", "POST", data=b"x", content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert packed.status_code == 415
    assert program.ask("/usage", "POST", data=b"", content_type="application/json").status_code == 400


def test_the_same_thing_twice_in_one_report_is_refused(world: World) -> None:
    answer = world.program(world.northwind).post("/usage", {"entries": [entry(), entry(count=8)]})
    assert answer.status_code == 422
    assert counts() == {}


def test_tomorrow_is_refused_and_today_is_taken(world: World) -> None:
    program = world.program(world.northwind)
    tomorrow = world.today + dt.timedelta(days=1)
    assert program.post("/usage", {"entries": [entry(day=tomorrow.isoformat())]}).status_code == 422
    assert program.post("/usage", {"entries": [entry(day=world.today.isoformat())]}).status_code == 200


def test_a_service_of_somebody_else_is_answered_like_one_that_does_not_exist(world: World) -> None:
    program = world.program(world.northwind)
    answers = [program.post("/usage", {"entries": [entry(service=code)]}).get_json() for code in ("SECRET", "NOTHING")]
    for answer in answers:
        answer.pop("request_id")
    assert answers[0] == answers[1]


def test_an_issuer_may_report_what_it_issues_and_the_system_everything(world: World, make: Any) -> None:
    issuer = world.program(world.issuer)
    assert issuer.post("/usage", {"entries": [entry()]}).status_code == 200
    assert issuer.post("/usage", {"entries": [entry(service="MAIL")]}).status_code == 422
    house: Organization = make.organization("House", kind=OrganizationKind.SYSTEM)
    everything = [entry(service=code) for code in ("MAPS", "MAIL", "OLD", "SECRET")]
    assert world.program(house).post("/usage", {"entries": everything}).get_json()["created"] == 3


def test_a_key_for_something_else_reports_nothing(world: World) -> None:
    program = make_program(world.app, world.make, organization_id=world.northwind.id)
    answer = program.post("/usage", {"entries": [entry()]})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")
    assert counts() == {}


def test_the_same_request_with_a_key_is_done_once_and_answered_alike(world: World) -> None:
    program = world.program(world.northwind)
    named = {"headers": {"Idempotency-Key": "abc-1"}}
    first = program.post("/usage", {"entries": [entry()]}, **named)
    again = program.post("/usage", {"entries": [entry()]}, **named)
    assert first.get_json() == again.get_json() == {"created": 1, "replaced": 0, "unchanged": 0}
    other = program.post("/usage", {"entries": [entry(count=9)]}, **named)
    assert (other.status_code, other.get_json()["code"]) == (409, "conflict")
    assert counts() == {("geocode", "2026-03-01", "api"): 7}
    elsewhere = world.program(world.northwind).post("/usage", {"entries": [entry(count=9)]}, **named)
    assert elsewhere.get_json()["replaced"] == 1
    bad = program.post("/usage", {"entries": [entry()]}, headers={"Idempotency-Key": "x" * 65})
    assert bad.status_code == 422


def test_a_name_is_free_again_after_a_day_however_many_others_are_old(world: World) -> None:
    program = world.program(world.northwind)
    named = {"headers": {"Idempotency-Key": "zz"}}
    program.post("/usage", {"entries": [entry()]}, **named)
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        table: Any = ApiAnswer.__table__
        connection.execute(update(table).values(created_at=utcnow() - dt.timedelta(days=2)))
        old = {"api_key_id": program.key_id, "request_hash": "0" * 64, "created_at": utcnow() - dt.timedelta(days=3)}
        connection.execute(insert(table), [old | {"key": f"old-{number}", "body": {}} for number in range(600)])
    answer = program.post("/usage", {"entries": [entry(count=9)]}, **named)
    assert (answer.status_code, answer.get_json()["replaced"]) == (200, 1)


def test_a_refused_request_may_be_put_right_under_the_same_key(world: World) -> None:
    program = world.program(world.northwind)
    named = {"headers": {"Idempotency-Key": "abc-2"}}
    assert program.post("/usage", {"entries": [entry(service="NOTHING")]}, **named).status_code == 422
    assert program.post("/usage", {"entries": [entry()]}, **named).status_code == 200


def test_reports_at_the_same_time_take_each_count_once(world: World) -> None:
    programs = [world.program(world.northwind) for _ in range(4)]
    body = {"entries": [entry(operation=f"op {number}") for number in range(20)]}
    answers: list[Any] = []

    def report(program: Program) -> None:
        with world.app.app_context():
            answers.append(program.post("/usage", body))

    threads = [threading.Thread(target=report, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sorted(answer.get_json()["created"] for answer in answers) == [0, 0, 0, 20]
    db.session.rollback()
    assert len(counts()) == 20
