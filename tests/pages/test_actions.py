"""Row and bulk actions: the selection is frozen, confirmed once, done once a row, and every outcome is said."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.models.outbox import OutboxMessage
from payadmin.models.system import ActionItem, ActionRun, ItemState, RunState
from tests.support.signin import secret_of

ANSWERS = {"colour": "DEEP_BLUE", "reason": "fashion"}


@pytest.fixture
def widgets(lab):
    def make(number: int, prefix: str = "W", **values) -> list[int]:
        lab.make.unit("EUR")
        rows = [
            lab.Widget(**{"code": f"{prefix}-{place:04}", "price_minor": 1_00, "unit": "EUR"} | values)
            for place in range(number)
        ]
        db.session.add_all(rows)
        db.session.flush()
        db.session.info.pop("payadmin.changed", None)
        db.session.commit()
        return [row.id for row in rows]

    return make


def work_off() -> None:
    from payadmin.jobs.runner import drain

    drain()
    db.session.rollback()


def choose(client, ids, action="paint", **more) -> str:
    answer = client.post("/widgets/action/", data={"action": action, "id": [str(i) for i in ids]} | more)
    assert answer.status_code == 302, answer.text[-1500:]
    return answer.location


def painted(lab) -> dict[str, int]:
    return {row.code: row.painted for row in db.session.execute(select(lab.Widget.code, lab.Widget.painted))}


def test_a_bulk_action_is_frozen_confirmed_and_done_row_by_row(lab, admin, widgets):
    ids = widgets(3)
    (green,) = widgets(1, "GREEN", colour=lab.Colour.GREEN)
    (stubborn,) = widgets(1, "STUBBORN")
    place = choose(admin, [*ids, green, stubborn])
    page = admin.get(place).text
    assert "1 of 5 chosen rows are left out" in page
    assert "Already green." in page
    assert re.search(r"EUR · 4</span><b>4\.00 EUR</b>", page), "totals of what can be done, a line a unit"
    assert painted(lab)["W-0000"] == 0, "nothing happens before the confirmation"
    coats = {f"r{ids[0]}-coats": "2"} | {f"r{row}-coats": "1" for row in [*ids[1:], stubborn]}
    done = admin.post(place, data=ANSWERS | coats)
    assert done.status_code == 302, done.text[-2500:]
    assert "Working" in admin.get(place).text
    work_off()
    assert painted(lab) == {"W-0000": 2, "W-0001": 1, "W-0002": 1, "GREEN-0000": 0, "STUBBORN-0000": 0}
    outcome = admin.get(place).text
    assert "Finished" in outcome
    assert outcome.count("Painted deep blue.") == 3
    assert "It does not hold paint." in outcome
    assert "Already green." in outcome
    status = admin.get(f"{place}status/")
    assert 'data-done="1"' in status.text


def test_the_form_is_checked_for_the_run_and_for_each_row(admin, widgets):
    first, second = widgets(2)
    place = choose(admin, [first, second])
    answer = admin.post(place, data={"colour": "GREEN", "reason": "", f"r{first}-coats": "9", f"r{second}-coats": "1"})
    assert answer.status_code == 422
    assert "Say why." in answer.text
    assert "One to three coats." in answer.text
    hostile = admin.post(place, data=ANSWERS | {"reason": "a\x00b", f"r{first}-coats": "1", f"r{second}-coats": "1"})
    assert "cannot be stored" in hostile.text
    assert db.session.scalar(select(ActionRun.state)) is RunState.DRAFT
    assert admin.post("/widgets/action/", data={"action": "paint", "id": "1", "list": "\x00"}).status_code == 400


def test_all_matching_rows_are_those_of_the_filter_at_that_moment(lab, admin, widgets):
    widgets(60)
    widgets(5, "RED", colour=lab.Colour.GREEN)
    answer = admin.post("/widgets/action/", data={"action": "paint", "all": "1", "list": "colour=RED&sort=-id&size=20"})
    widgets(3, "LATE")
    assert answer.status_code == 302
    assert db.session.scalar(select(ActionRun.total)) == 60
    assert "LATE" not in admin.get(answer.location).text
    for junk in ("colour=PINK", "nonsense=1", "colour=RED&after=x"):
        assert admin.post("/widgets/action/", data={"action": "paint", "all": "1", "list": junk}).status_code == 400


def test_more_rows_than_the_action_takes_are_refused_not_cut(admin, widgets):
    ids = widgets(4)
    answer = admin.post("/widgets/action/", data={"action": "burn", "id": [str(i) for i in ids]})
    assert answer.status_code == 409
    assert "at most 3 rows at once, and 4 are chosen" in answer.text
    every = admin.post("/widgets/action/", data={"action": "burn", "all": "1", "list": ""})
    assert every.status_code == 409
    assert "More than 3 rows match" in every.text
    assert db.session.scalar(select(func.count()).select_from(ActionRun)) == 0


def test_the_same_confirmation_twenty_times_at_once_starts_one_run(lab, admin, widgets):
    (row,) = widgets(1)
    place = choose(admin, [row])
    data = ANSWERS | {f"r{row}-coats": "1"}
    cookie = admin.get_cookie("payadmin").value

    def post(_: int) -> str:
        with lab.app.app_context(), lab.app.test_client(use_cookies=False) as client:
            return client.post(place, data=data, headers={"Cookie": f"payadmin={cookie}"}).location

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(20))) == {place}
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(OutboxMessage)) == 1
    work_off()
    assert painted(lab) == {"W-0000": 1}


def test_a_job_that_runs_twice_paints_once(lab, admin, widgets):
    (row,) = widgets(1)
    place = choose(admin, [row])
    admin.post(place, data=ANSWERS | {f"r{row}-coats": "1"})
    from payadmin.jobs.runs import run_item

    item = db.session.scalars(select(ActionItem)).one()
    run_item(item_id=item.id)
    # The worker died after the paint and before the outcome: the row is still running when it is claimed again.
    item = db.session.get(ActionItem, item.id)
    item.state = ItemState.RUNNING
    db.session.commit()
    run_item(item_id=item.id)
    assert painted(lab) == {"W-0000": 1}


def test_what_failed_can_be_run_again_without_doing_the_rest_twice(lab, admin, widgets):
    good, broken = [*widgets(1), *widgets(1, "BROKEN")]
    place = choose(admin, [good, broken])
    admin.post(place, data=ANSWERS | {f"r{good}-coats": "1", f"r{broken}-coats": "1"})
    work_off()
    page = admin.get(place).text
    assert "nobody expected this" not in page
    assert "Run again what is left" in page
    table = lab.Widget.__table__
    db.session.connection().execute(table.update().where(table.c.id == broken).values(code="MENDED"))
    db.session.commit()
    assert admin.post(f"{place}again/").status_code == 302
    work_off()
    assert painted(lab) == {"W-0000": 1, "MENDED": 1}
    assert "Run again what is left" not in admin.get(place).text


def test_one_row_is_confirmed_and_done_from_its_own_form(lab, admin, widgets):
    (row,) = widgets(1)
    page = admin.get(f"/widgets/{row}/action/paint/", headers={"X-Partial": "dialog"}).text
    assert 'id="dlg-title"' in page
    token = re.search(r'name="token" value="([^"]+)"', page)[1]
    data = ANSWERS | {"token": token, f"r{row}-coats": "3"}
    first = admin.post(f"/widgets/{row}/action/paint/", data=data)
    again = admin.post(f"/widgets/{row}/action/paint/", data=data)
    assert first.location == again.location == f"/widgets/run/{token}/"
    work_off()
    assert painted(lab) == {"W-0000": 3}
    refused = admin.post(f"/widgets/{row}/action/paint/", data=data | {"token": token + "x", f"r{row}-coats": "0"})
    assert refused.status_code == 422


def test_a_dangerous_action_needs_a_fresh_code_bound_to_its_rows(lab, admin, widgets):
    row, other = widgets(2)
    place = choose(admin, [row], "burn")
    page = admin.get(place).text
    offer = re.search(r'name="offer" value="([^"]+)"', page)[1]
    wrong = admin.post(place, data=ANSWERS | {"offer": offer, "code": "000000"})
    assert wrong.status_code == 422
    assert "That code is wrong" in wrong.text
    code = totp.code_at(secret_of(admin.staff_id), utcnow())
    foreign = choose(admin, [other], "burn")
    assert admin.post(foreign, data=ANSWERS | {"offer": offer, "code": code}).status_code == 422
    assert admin.post(place, data=ANSWERS | {"offer": offer, "code": code}).status_code == 302
    work_off()
    assert painted(lab) == {"W-0000": 1, "W-0001": 0}


def test_a_run_belongs_to_who_chose_it_and_an_action_to_who_may(lab, admin, widgets):
    from payadmin.permissions import Role

    (row,) = widgets(1)
    place = choose(admin, [row])
    assert lab.make.browse(Role.ADMIN).get(place).status_code == 404
    assert lab.make.browse(Role.SUPPORT_AGENT).get(place).status_code == 403
    for action in ("nothing", ""):
        assert admin.post("/widgets/action/", data={"action": action, "id": str(row)}).status_code == 404
    assert admin.get("/widgets/run/x/").status_code == 404


def test_rows_outside_the_scope_do_not_exist_for_any_address(lab, admin, widgets):
    (hidden,) = widgets(1, place="elsewhere")
    assert "W-0000" not in admin.get("/widgets/").text
    assert admin.get(f"/widgets/{hidden}/").status_code == 404
    assert admin.get(f"/widgets/{hidden}/action/paint/").status_code == 404
    assert admin.post("/widgets/action/", data={"action": "paint", "id": str(hidden)}).status_code == 409
    assert admin.get("/widgets/export/csv/").text.count("\n") == 1
    assert admin.get("/widgets/?search=W-0000").text.count("data-row-menu") == 0
