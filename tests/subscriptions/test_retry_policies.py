"""Retry policies over HTTP: told in words, refused at the field, never deleted under a subscription."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from payadmin.actions.subscriptions import choose_retry_policy, save_retry_policy
from payadmin.db import db
from payadmin.kernel.errors import NotFound
from payadmin.models.audit import AuditEvent
from payadmin.models.subscriptions import OnExhausted, RetryPolicy, SubscriptionStatus
from payadmin.permissions import Role
from payadmin.providers.declines import DECLINE_CODES
from payadmin.simulator.cards import DECLINES
from payadmin.views.retry_policies import story
from tests.support.make import Make
from tests.support.pages import token_of

TYPED = {"name": "Patient", "delays_days": "1, 3, 7", "max_attempts": "4", "on_exhausted": "ON_HOLD"}


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def save(client: FlaskClient, address: str = "/retry-policies/new/", **changes: Any) -> Any:
    return client.post(address, data={**TYPED, "csrf_token": token_of(client, address), **changes})


def policy(make: Make, **values: Any) -> RetryPolicy:
    defaults = {"name": "Patient", "delays_days": [1, 3, 7], "max_attempts": 4, "retryable_codes": []}
    found: RetryPolicy = save_retry_policy(make.actor(), **(defaults | {"on_exhausted": OnExhausted.ON_HOLD} | values))
    return found


def policies() -> list[RetryPolicy]:
    db.session.rollback()
    return list(db.session.query(RetryPolicy).order_by(RetryPolicy.id))


def test_a_policy_is_typed_saved_and_told_in_words(operator: FlaskClient) -> None:
    answer = save(operator, retryable_codes=["insufficient_funds", "do_not_honor"], other_codes="05; 51")

    [saved] = policies()
    assert answer.headers["Location"].endswith(f"/retry-policies/{saved.id}/")
    assert (saved.name, saved.delays_days, saved.max_attempts) == ("Patient", [1, 3, 7], 4)
    assert saved.retryable_codes == ["05", "51", "do_not_honor", "insufficient_funds"]
    assert saved.on_exhausted is OnExhausted.ON_HOLD
    page = operator.get(f"/retry-policies/{saved.id}/").get_data(as_text=True)
    for words in ("1 day after the decline", "3 days after that", "7 days after that", "11 days in all", "put on hold"):
        assert words in page
    assert "Any refusal that is not on the list" in page
    assert "Not enough money in the account" in page
    [entry] = db.session.query(AuditEvent).filter_by(event="subscriptions.retry_policy.saved")
    assert entry.after["delays_days"] == [1, 3, 7]


@pytest.mark.once
@pytest.mark.parametrize(
    ("delays", "attempts", "codes", "ending", "said"),
    [
        ([], 1, [], OnExhausted.ABORTED, ["On the day it is due", "When the first attempt is declined"]),
        ([2], 3, [], None, ["On the day", "2 days after the decline", "2 days after that", "When attempt 3"]),
        (
            [1, 9, 9],
            2,
            [],
            OnExhausted.ON_HOLD,
            ["On the day", "1 day after", "When attempt 2 is declined"],
        ),
        (
            [1],
            2,
            ["x"],
            OnExhausted.ON_HOLD,
            ["On the day", "1 day after", "When attempt 2", "Any refusal"],
        ),
    ],
)
def test_the_story_tells_every_attempt_and_the_end(
    delays: list[int], attempts: int, codes: list[str], ending: OnExhausted | None, said: list[str]
) -> None:
    steps = [step.when for step in story(delays, attempts, codes, ending)]
    assert len(steps) == len(said)
    assert all(step.startswith(begin) for step, begin in zip(steps, said, strict=True))


def test_the_story_follows_what_is_typed(operator: FlaskClient) -> None:
    query = "/retry-policies/preview/?delays_days=2&max_attempts=3&on_exhausted=ABORTED&retryable_codes=lost_card"
    told = operator.get(query).get_data(as_text=True)
    assert "2 days after the decline" in told
    assert "aborted" in told
    for junk in (
        "",
        "?delays_days=x&max_attempts=3",
        "?max_attempts=3",
        "?max_attempts=99999999999999999999&delays_days=1",
    ):
        answer = operator.get(f"/retry-policies/preview/{junk}")
        assert answer.status_code == 200
        assert "Enter how many attempts" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"name": "  "}, "name", "This is needed."),
        ({"name": "x" * 81}, "name", "80"),
        ({"name": "a\x00b"}, "name", "cannot be stored"),
        ({"delays_days": "1, x"}, "delays_days", "such as 1, 3, 7"),
        ({"delays_days": "1, \uff13"}, "delays_days", "such as 1, 3, 7"),
        ({"delays_days": "0"}, "delays_days", "from 1 to 60"),
        ({"delays_days": "61"}, "delays_days", "from 1 to 60"),
        ({"delays_days": ""}, "delays_days", "before the second attempt"),
        ({"max_attempts": "0"}, "max_attempts", "from 1 to 20"),
        ({"max_attempts": "21"}, "max_attempts", "from 1 to 20"),
        ({"max_attempts": "1_0"}, "max_attempts", "whole number"),
        ({"on_exhausted": ""}, "on_exhausted", "Choose one"),
        ({"on_exhausted": "FOREVER"}, "on_exhausted", "Choose one of the list"),
        ({"retryable_codes": ["nonsense"]}, "retryable_codes", "not a valid choice"),
        ({"other_codes": "y" * 90}, "retryable_codes", "short and printable"),
        ({"other_codes": " ".join(f"c{n}" for n in range(60))}, "retryable_codes", "at most 50"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    operator: FlaskClient, changes: dict[str, Any], field: str, sentence: str
) -> None:
    answer = save(operator, **changes)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert sentence in page[page.index(f'id="{field}-error"') :][:400]
    assert policies() == []


def test_a_name_stands_for_one_policy(operator: FlaskClient, make: Make) -> None:
    policy(make)
    answer = save(operator)
    assert answer.status_code == 409
    assert 'id="name-error"' in answer.get_data(as_text=True)
    assert len(policies()) == 1


def test_a_stale_form_is_told_what_the_policy_says_now_and_saves_the_second_time(
    operator: FlaskClient, make: Make
) -> None:
    row = policy(make)
    address = f"/retry-policies/{row.id}/edit/"
    save_retry_policy(
        make.actor(), name="Patient", delays_days=[5], max_attempts=2, retryable_codes=["lost_card"],
        on_exhausted=OnExhausted.ABORTED, policy_id=row.id, version=row.version,
    )  # fmt: skip
    answer = save(operator, address, seen_version="1", max_attempts="3")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    for words in ("somebody else", "5 days", "The card was reported lost", "Abort the subscription", 'value="2"'):
        assert words.lower() in page.lower(), words
    assert policies()[0].delays_days == [5]
    assert save(operator, address, seen_version="2", max_attempts="3").status_code == 302
    assert (policies()[0].max_attempts, policies()[0].version) == (3, 3)


def test_saving_what_is_there_changes_and_records_nothing(operator: FlaskClient, make: Make) -> None:
    row = policy(make, retryable_codes=["05", "lost_card"])
    address = f"/retry-policies/{row.id}/edit/"
    page = operator.get(address).get_data(as_text=True)
    assert 'value="05"' in page
    assert 'value="1, 3, 7"' in page
    save(operator, address, seen_version="1", retryable_codes=["lost_card"], other_codes="05")
    assert policies()[0].version == 1
    assert db.session.query(AuditEvent).filter_by(event="subscriptions.retry_policy.saved").count() == 1


def test_a_policy_that_is_followed_stays_and_the_list_says_by_how_many(operator: FlaskClient, make: Make) -> None:
    row = policy(make)
    for _ in range(2):
        make.subscription(retry_policy_id=row.id)
    make.subscription(retry_policy_id=row.id, status=SubscriptionStatus.CANCELLED)
    assert ">2</td>" in operator.get("/retry-policies/").get_data(as_text=True)
    page = operator.get(f"/retry-policies/{row.id}/").get_data(as_text=True)
    assert "2 subscriptions follow it" in page
    assert f"/retry-policies/{row.id}/delete/" not in page
    token = token_of(operator, f"/retry-policies/{row.id}/edit/")
    answer = operator.post(f"/retry-policies/{row.id}/delete/", data={"csrf_token": token}, follow_redirects=True)
    assert "2 subscriptions follow this policy: give them another one first." in answer.get_data(as_text=True)
    assert len(policies()) == 1


def test_a_policy_of_ended_subscriptions_only_can_go(operator: FlaskClient, make: Make) -> None:
    row_id = policy(make).id
    ended = make.subscription(retry_policy_id=row_id, status=SubscriptionStatus.CANCELLED)
    token = token_of(operator, f"/retry-policies/{row_id}/edit/")
    assert operator.post(f"/retry-policies/{row_id}/delete/", data={"csrf_token": token}).status_code == 302
    assert policies() == []
    db.session.refresh(ended)
    assert ended.retry_policy_id is None
    assert db.session.query(AuditEvent).filter_by(event="subscriptions.retry_policy.deleted").count() == 1
    assert operator.post(f"/retry-policies/{row_id}/delete/", data={"csrf_token": token}).status_code == 404
    with pytest.raises(NotFound):
        choose_retry_policy(make.actor(), make.subscription().id, version=1, retry_policy_id=row_id)


def test_who_may_only_read_sees_no_way_to_change(make: Make) -> None:
    reader = make.browse(Role.ADMIN)
    row = policy(make)
    page = reader.get(f"/retry-policies/{row.id}/").get_data(as_text=True)
    assert "/edit/" not in page
    assert "/delete/" not in page
    assert reader.get("/retry-policies/new/").status_code == 403
    assert make.browse(Role.CASHIER).get("/retry-policies/").status_code == 403


def test_hostile_names_and_codes_stay_text(operator: FlaskClient, make: Make) -> None:
    row = policy(make, name="<script>alert(1)</script>", retryable_codes=["<img src=x>"])
    for address in ("/retry-policies/", f"/retry-policies/{row.id}/", f"/retry-policies/{row.id}/edit/"):
        page = operator.get(address).get_data(as_text=True)
        assert "<script>alert" not in page
        assert "<img src=x>" not in page


def test_an_empty_list_says_what_a_policy_is_for(operator: FlaskClient) -> None:
    page = operator.get("/retry-policies/").get_data(as_text=True)
    assert "No retry policies yet" in page
    assert "a declined charge is not tried again" in page


@pytest.mark.once
def test_the_codes_of_the_simulator_are_known_in_words() -> None:
    assert {code for _, code, _ in DECLINES.values()} <= DECLINE_CODES.keys()
