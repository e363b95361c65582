"""What the sample says is what the statement says; what it adds is always the same and marked as invented."""

from collections import Counter, defaultdict
from itertools import islice

import pytest

from payadmin.kernel.credits import Credits
from payadmin.models.payments import PaymentStatus
from payadmin.reference import METHODS
from payadmin.sample.categories import category_code, directorate_name
from payadmin.sample.mapping import UNSETTLED_FROM_ROW, sample_payment, sample_payments
from payadmin.sample.merchants import merchant_name
from payadmin.sample.people import person
from payadmin.sample.source import LAST_ROW, RECENT_FROM_ROW, Story, card_rows, category_names, read_story

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def story() -> Story:
    return read_story()


def test_the_statement_is_counted_to_the_last_row(story: Story):
    matched = sum(map(len, story.credits.values()))
    assert (story.payments, matched, story.unmatched_credits) == (176_262, 4_169, 904)
    assert story.payments + matched + story.unmatched_credits == LAST_ROW
    assert story.recent_payments == 19_663
    assert (len(story.series_of), len(story.series)) == (1_822, 183)


def test_both_spans_end_with_a_payment():
    ends = {row.number: row.minor for row in card_rows() if row.number in {RECENT_FROM_ROW - 1, LAST_ROW}}
    assert len(ends) == 2
    assert all(minor > 0 for minor in ends.values())


def test_a_payment_keeps_the_facts_of_its_row(story: Story):
    rows = {row.number: row for row in card_rows() if row.number >= LAST_ROW - 2_000}
    for payment in sample_payments(story, first=LAST_ROW - 2_000):
        row = rows[int(payment.values["transaction_id"].removeprefix("BCC-"))]
        assert payment.values["amount_minor"] == row.minor
        assert payment.values["unit"] == row.unit
        assert payment.values["created_at"].date().isoformat() == row.day
        assert row.merchant in payment.values["description"]
        assert payment.values["card_last4"] in {row.card, None}
        foreign = row.unit != row.billed_unit
        assert (payment.values["billed_unit"] is not None) == foreign


def test_money_and_status_never_disagree(story: Story):
    statuses: Counter[PaymentStatus] = Counter()
    for payment in sample_payments(story, first=RECENT_FROM_ROW):
        values = payment.values
        statuses[values["status"]] += 1
        refunded = sum(refund["amount_minor"] for refund in payment.refunds)
        assert values["refunded_minor"] == refunded <= values["captured_minor"] <= values["amount_minor"]
        assert (values["status"] is PaymentStatus.TOTALLY_REFUNDED) == (refunded == values["amount_minor"])
        assert (values["status"] is PaymentStatus.PARTIALLY_REFUNDED) == (0 < refunded < values["amount_minor"])
        assert (values["error_code"] is not None) == (values["status"] is PaymentStatus.FAILED)
        assert values["method"] in METHODS
        moments = [event["at"] for event in payment.events]
        assert moments == sorted(moments)
        assert payment.events[-1]["status"] is values["status"]
        assert values["updated_at"] == moments[-1]
    assert set(statuses) == set(PaymentStatus)


def test_the_newest_payments_are_not_settled(story: Story):
    newest = list(sample_payments(story, first=UNSETTLED_FROM_ROW))
    assert len(newest) > 150
    assert all(payment.values["settled_at"] is None for payment in newest)


def test_the_same_rows_always_tell_the_same(story: Story):
    first = list(islice(sample_payments(story, first=170_000), 300))
    assert first == list(islice(sample_payments(read_story(), first=170_000), 300))


def test_a_series_is_one_subscription_of_one_customer(story: Story):
    customers: dict[int, set[str]] = defaultdict(set)
    merchants: dict[int, set[str]] = defaultdict(set)
    for row in card_rows():
        if row.number in story.series_of:
            payment = sample_payment(row, story)
            customers[payment.series].add(payment.customer["external_id"])
            merchants[payment.series].add(payment.merchant)
    assert len(customers) == 183
    assert all(len(found) == 1 for found in [*customers.values(), *merchants.values()])


def test_invented_people_can_never_be_reached():
    somebody = person("RV12N-5770")
    assert somebody == person("RV12N-5770")
    assert somebody.email.endswith("@example.com")
    assert somebody.phone.startswith(("+44 121 496 0", "+44 7700 900"))
    assert somebody.username.endswith(".rv12n-5770")


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("tesco pfs 4203", "Tesco"),
        ("tesco stores 5504", "Tesco"),
        ("amazon mktplce eu-uk", "Amazon Marketplace"),
        ("www.bakerross.co.uk", "bakerross.co.uk"),
        ("the furnishing service", "The Furnishing Service"),
        ("bp six ways f/stn", "BP"),
        ("paypal sticky kids", "Sticky Kids"),
        ("4423", "Merchant 4423"),
        ("acocks green 224", "Acocks Green"),
    ],
)
def test_spellings_of_a_merchant_become_one_name(printed: str, name: str):
    assert merchant_name(printed) == name


def test_every_row_has_a_merchant_with_a_name_that_fits():
    names = {merchant_name(row.merchant) for row in card_rows()}
    assert all(0 < len(name) <= 200 for name in names)
    assert len(names) < 15_000


def test_every_account_has_a_known_category():
    assert category_code("K020") == "5541"
    assert category_code("") == category_code("zz") == "5999"
    assert {category_code(row.category_code) for row in card_rows()} <= set(category_names())


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("CYP&F SCHOOLS", "Birmingham City Council: Children, Young People & Families: Schools"),
        ("CYO&F", "Birmingham City Council: Children, Young People & Families"),
        ("Adults & Comms", "Birmingham City Council: Adults & Communities"),
        ("DEVELOPMENT", "Birmingham City Council: Development"),
        ("", "Birmingham City Council: Directorate not stated"),
    ],
)
def test_spellings_of_a_directorate_become_one_name(printed: str, name: str):
    assert directorate_name(printed) == name


def test_a_credit_belongs_to_the_latest_payment_of_its_amount():
    seen = Credits()
    for number, minor in ((1, 500), (2, 900), (3, 500), (4, 700)):
        seen.charge("card", number, minor)
    assert [seen.credit("card", 500) for _ in range(2)] == [3, 1]
    assert [seen.credit("card", 600) for _ in range(3)] == [4, 2, None]
    assert seen.credit("card", 300) == 2
    assert seen.credit("other", 1) is None
