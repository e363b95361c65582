"""Benchmarks run: small ones here, so that the large ones do not fail after minutes of preparation."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import DATABASES

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "first_page",
    "page_at_middle",
    "last_page",
    "status_filter",
    "exact_id_search",
    "prefix_search",
    "email_search",
}


def bench(name: str, *more: str, kind: str = "sqlite") -> tuple[int, dict[str, Any], str]:
    """Exit status, the one JSON object, and what was said meanwhile."""
    code = "from payadmin.cli import main; main()"
    command = [sys.executable, "-c", code, "bench", name, "--rows", "2000", "--db", kind, "--json", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def check_shape(name: str, status: int, body: dict[str, Any], said: str) -> None:
    assert body.keys() >= {"name", "machine", "rows", "figures", "ratios", "goals"}
    assert (body["name"], body["rows"]) == (name, 2000)
    assert all(goal.keys() == {"value", "limit", "met"} for goal in body["goals"].values())
    assert all(goal["met"] == (goal["value"] <= goal["limit"]) for goal in body["goals"].values())
    assert status == (0 if all(goal["met"] for goal in body["goals"].values()) else 1)
    assert all(value > 0 for value in body["ratios"].values())
    assert "statistics" in said, "progress goes to standard error"


def test_the_list_benchmark_asks_both_lists_everything_and_says_it_in_one_object():
    status, body, said = bench("list")
    check_shape("list", status, body, said)
    assert body["figures"].keys() >= CASES
    assert CASES | {"last_page_over_first", "first_page_over_floor"} <= body["ratios"].keys()
    assert body["goals"].keys() == {"last_page_over_first"}
    assert all(body["figures"][case]["queries"] < 15 for case in CASES)


def test_the_export_benchmark_keeps_memory_flat_and_counts_the_rows_of_both_files():
    status, body, said = bench("export")
    check_shape("export", status, body, said)
    assert body["goals"].keys() == {"csv_memory_mb", "xlsx_memory_mb"}
    assert status == 0
    assert body["figures"]["csv"]["rows"] == body["figures"]["xlsx"]["rows"] > 1_000


def test_the_batch_benchmark_takes_in_checks_and_processes_a_file_in_bounded_memory():
    status, body, said = bench("batch")
    check_shape("batch", status, body, said)
    assert body["goals"].keys() == {"memory_mb"}
    assert body["goals"]["memory_mb"]["met"]
    assert body["figures"].keys() == {"upload", "check", "process", "page_quiet_ms", "bare"}


def test_the_report_benchmark_asks_every_criterion_and_counts_as_plain_sql_does():
    status, body, said = bench("report")
    check_shape("report", status, body, said)
    assert len(body["figures"]) == 16, "fourteen criteria, the card in two ways, and none"
    assert body["goals"].keys() == {"slowest_page_over_none", "none_over_raw"}
    assert all(figure["queries"] < 15 for figure in body["figures"].values())


def test_the_recurring_benchmark_plans_all_and_charges_beside_the_bare_limit_and_rq():
    status, body, said = bench("recurring", "--charges", "40")
    check_shape("recurring", status, body, said)
    assert body["goals"].keys() == {"bare_over_1_worker", "bare_over_2_workers"}
    planning = body["figures"]["planning"]
    assert (planning["subscriptions"], planning["dates"] > 2_000) == (2_000, True)
    assert planning["peak_mb"] >= planning["idle_mb"] > 0
    assert [body["figures"][crew]["threads"] for crew in ("1_worker", "2_workers")] == [8, 16]


def test_the_audit_benchmark_writes_seals_proves_and_finds():
    status, body, said = bench("audit", "--seconds", "0.3")
    check_shape("audit", status, body, said)
    assert body["goals"].keys() == {
        "audited_over_sealed",
        "not_sealed_or_broken",
        "last_page_over_first",
        "slowest_search_over_first",
    }
    assert body["goals"]["not_sealed_or_broken"]["met"]
    assert all(figure.get("queries", 0) < 15 for figure in body["figures"].values() if isinstance(figure, dict))


def test_the_checkout_benchmark_decides_as_asking_one_by_one_does_and_through_http():
    status, body, said = bench("checkout", "--seconds", "0.1")
    check_shape("checkout", status, body, said)
    assert body["goals"].keys() == {"engine_over_naive_time", "decisions_that_differ", "made_ready_ms"}
    assert body["goals"]["decisions_that_differ"]["met"]
    assert body["figures"].keys() >= {
        "engine_per_second",
        "naive_per_second",
        "http_per_second",
        "http_bare_per_second",
    }


def test_the_analytics_benchmark_times_pages_and_upkeep_and_compares_every_day():
    status, body, said = bench("analytics", "--writes", "5")
    check_shape("analytics", status, body, said)
    assert body["goals"].keys() == {
        "year_over_raw",
        "year_over_week",
        "billing_month_over_week",
        "write_with_over_without",
        "differences",
    }
    assert body["goals"]["differences"]["met"]
    assert body["figures"]["compared"]["days"] > 700


def test_the_ledger_benchmark_posts_beside_bare_inserts_and_checks_at_size():
    status, body, said = bench("ledger", "--seconds", "0.3")
    check_shape("ledger", status, body, said)
    assert body["goals"].keys() == {
        "bare_over_posts_1",
        "bare_over_posts_8",
        "balance_at_size_over_empty",
        "broken",
    }
    assert body["goals"]["broken"]["met"]
    assert body["figures"]["size"]["transactions"] > 2_000


@pytest.mark.parametrize("kind", DATABASES)
def test_the_support_benchmark_searches_beside_a_unique_look_up(kind: str):
    status, body, said = bench("support", kind=kind)
    check_shape("support", status, body, said)
    assert body["ratios"].keys() >= {"phone", "email", "username", "phone_beginning", "username_beginning"}
    assert "slowest_search_over_unique" in body["goals"]
