"""Schedules fitted to what was seen foretell real charges: the figures that docs/sample-data.md quotes."""

import datetime as dt
import json

import pytest
from click.testing import CliRunner

from payadmin.cli import main
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind, dates
from payadmin.sample.replay import Match, fit, hold_against
from payadmin.sample.source import recurrences
from tests.support.source import ROOT

pytestmark = pytest.mark.once


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def monthly(anchor: str, count: int = 1) -> Schedule:
    unit = IntervalUnit.MONTH
    return Schedule(ScheduleKind.INTERVAL, interval_unit=unit, interval_count=count, anchor=day(anchor))


@pytest.fixture(scope="module")
def printed() -> str:
    answer = CliRunner().invoke(main, ["replay", "--json"])
    assert answer.exit_code == 0
    return answer.output


def test_the_series_are_those_of_the_bundled_file():
    found = recurrences()
    assert (len(found), sum(len(one.days) for one in found)) == (183, 1_822)
    assert all(list(one.days) == sorted(one.days) for one in found)


def test_the_replay_says_how_many_real_later_charges_were_foretold(printed: str):
    found = json.loads(printed)
    assert (found["series"], found["charges"]) == (183, 1_822)
    assert found["first_half"]["charges"] + found["later"]["charges"] == 1_822
    assert found["later"] == {
        "charges": 868,
        "exact": 261,
        "within_1_business_day": 320,
        "within_3_business_days": 361,
        "dates_foretold": 755,
        "dates_charged": 361,
    }
    assert found["regular"]["series"] == 53
    assert found["regular"]["kinds"] == {"DATE": 37, "INTERVAL DAY": 11, "INTERVAL MONTH": 5}
    assert found["regular"]["later"] == {
        "charges": 298,
        "exact": 235,
        "within_1_business_day": 264,
        "within_3_business_days": 274,
        "dates_foretold": 356,
        "dates_charged": 274,
    }


def test_the_documentation_quotes_these_figures(printed: str):
    found = json.loads(printed)
    text = (ROOT / "docs" / "sample-data.md").read_text(encoding="utf-8")
    for name, part in (
        ("53 regular series, first half", found["regular"]["first_half"]),
        ("53 regular series, **later**", found["regular"]["later"]),
        ("all 183 series, first half", found["first_half"]),
        ("all 183 series, **later**", found["later"]),
    ):
        told = [part["exact"], part["within_1_business_day"], part["within_3_business_days"]]
        cells = " | ".join(str(number) for number in (part["charges"], *told))
        assert f"| {name} | {cells} | {part['dates_charged']} of {part['dates_foretold']} |" in text


def test_the_table_names_both_halves():
    answer = CliRunner().invoke(main, ["replay"])
    assert answer.exit_code == 0
    assert "53 series are regular by their first half" in answer.output
    assert "LATER, all series" in answer.output


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(ScheduleKind.DATE, days=(9,), months=ALL_MONTHS),
        monthly("2016-01-31"),
        monthly("2016-02-11", 3),
        Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=32, anchor=day("2016-04-15")),
    ],
    ids=str,
)
def test_a_schedule_is_found_again_from_its_own_dates(schedule: Schedule):
    told = dates(schedule, day("2016-01-01"), day("2017-06-30"))
    found, match = fit(told)
    assert match.cost == 0
    assert dates(found, day("2016-05-01"), day("2018-12-31")) == dates(schedule, day("2016-05-01"), day("2018-12-31"))


def test_a_weekend_counts_to_its_friday_and_each_date_serves_once():
    friday, saturday, monday, thursday = map(day, ("2016-07-01", "2016-07-02", "2016-07-04", "2016-07-07"))
    assert hold_against([monday], [saturday]) == Match(1, 0, 1, 1, dates=1, charged=1)
    assert hold_against([saturday], [friday]) == Match(1, 0, 1, 1, dates=1, charged=1)
    assert hold_against([thursday], [monday]) == Match(1, 0, 0, 1, dates=1, charged=1)
    assert hold_against([monday, monday], [monday]) == Match(2, 1, 1, 1, dates=1, charged=1)
    assert hold_against([thursday], [friday, monday]) == Match(1, 0, 0, 1, dates=2, charged=1)


def test_what_is_not_later_takes_part_but_does_not_count():
    real = [day("2016-01-04"), day("2016-02-04"), day("2016-03-04")]
    told = [day("2016-01-04"), day("2016-02-04"), day("2016-03-04"), day("2016-04-04")]
    assert hold_against(real, told, later_than=day("2016-02-04")) == Match(1, 1, 1, 1, dates=2, charged=1)


def test_no_charge_is_expected_in_a_month_that_was_not_published():
    told = [day("2017-11-04"), day("2017-12-04"), day("2018-01-04")]
    assert hold_against([day("2017-11-04"), day("2018-01-04")], told) == Match(2, 2, 2, 2, dates=2, charged=2)
