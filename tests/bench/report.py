"""All Report by each of its criteria: the page, and what it adds up, beside the same questions in plain SQL."""

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from flask import Flask, g
from sqlalchemy import text
from werkzeug.datastructures import MultiDict

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel.cards import fingerprint
from payadmin.permissions import Role
from payadmin.views import lists
from payadmin.work import SYSTEM
from tests.bench.figures import DATABASES, Goal, Report, Say, database_of, shorter
from tests.bench.history import build
from tests.bench.list import bench_settings, counted
from tests.support.signin import sign_in

ADDRESS = "/all-report/"
PAN = "4242424242424242"
REPEATS = 5
SLOWEST_LIMIT = 6  # times the page without criteria: no criterion makes the page another kind of page
RAW_LIMIT = 2  # times plain SQL, for all payments together
_COLUMNS = (
    "id, created_at, status, billing_number, invoice_number, amount_minor, unit, card_last4, response_code, "
    "approval_code, error_code, batch_id, in_flight"
)
# All at once, with the values inlined: what somebody at the database's own prompt would type.
_ROWS = "SELECT {columns} FROM payment WHERE mode = 'LIVE'{where} ORDER BY created_at DESC, id DESC LIMIT 51"
_TOTALS = "SELECT unit, count(*), sum(amount_minor) FROM payment WHERE mode = 'LIVE'{where} GROUP BY unit"


@dataclass(frozen=True)
class Case:
    """One criterion: the address's arguments, and the condition in plain SQL."""

    name: str
    args: dict[str, str]
    where: str


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000), help="Payments to make.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--db", "kind", type=click.Choice(DATABASES), default="postgresql", show_default=True)
def main(rows: int, as_json: bool, kind: str) -> None:
    """Every criterion of All Report through the real page, and the sums, beside plain SQL."""
    say = Say()
    say("starting")
    report = Report("report", rows, kind)
    with database_of(kind) as url, tempfile.TemporaryDirectory(prefix="payadmin-bench-") as folder:
        build(url, rows, say)
        settings = bench_settings(url, Path(folder))
        mark_a_card(url, settings)
        app = create_app(settings)
        with app.app_context():
            measure(report, app, say)
            db.engine.dispose()
    report.show(as_json=as_json)


def mark_a_card(url: str, settings: Settings) -> None:
    """Give a few payments the card that is searched by its full number."""
    app = create_app(dataclasses.replace(settings, database_url=url))
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(
            text("UPDATE payment SET card_fingerprint = :mark, card_last4 = '4242' WHERE id <= 20"),
            {"mark": fingerprint(settings.totp_keys, PAN)},
        )
        db.engine.dispose()


def measure(report: Report, app: Flask, say: Say) -> None:
    """Ask each criterion, check that page and plain SQL come to the same, and write down what both took."""
    client: Any = sign_in(app, Role.PAYMENTS_OPERATOR)
    view = next(each for each in app.extensions["admin"][0]._views if each.endpoint == "all_report")
    slowest = ("", 0.0)
    for case in cases(app):
        address = f"{ADDRESS}?{urlencode(case.args)}"
        with counted(db.engine) as statements:
            page = client.get(address)
            queries = len(statements)
        assert page.status_code == 200, f"{address} answered {page.status_code}"
        page_ms = best(functools.partial(client.get, address))
        rows_ms, totals_ms, totals = asked_of(app, view, case)
        raw_rows_ms = best(functools.partial(plain, _ROWS, case))
        raw_totals_ms = best(functools.partial(plain, _TOTALS, case))
        assert totals == {row[0]: (row[1], int(row[2])) for row in plain(_TOTALS, case)}, (
            f"{case.name} adds up otherwise"
        )
        report.figures[case.name] = {
            "payments": sum(count for count, _ in totals.values()),
            "page_ms": page_ms,
            "rows_ms": rows_ms,
            "raw_rows_ms": raw_rows_ms,
            "totals_ms": totals_ms,
            "raw_totals_ms": raw_totals_ms,
            "queries": queries,
            "bytes": len(page.data),
        }
        report.ratios[case.name] = shorter((rows_ms + totals_ms) / (raw_rows_ms + raw_totals_ms))
        slowest = max(slowest, (case.name, page_ms), key=lambda pair: pair[1])
        say(f"{case.name}: page {page_ms} ms; rows {rows_ms}, sums {totals_ms}; raw {raw_rows_ms}, {raw_totals_ms} ms")
    report.ratios["slowest_page_over_none"] = shorter(slowest[1] / report.figures["none"]["page_ms"])
    report.goals["slowest_page_over_none"] = Goal(report.ratios["slowest_page_over_none"], SLOWEST_LIMIT)
    report.goals["none_over_raw"] = Goal(report.ratios["none"], RAW_LIMIT)
    report.notes += [
        "Ratios: rows and sums as the page asks for them over the same in plain SQL, values inlined, same driver.",
        f"The slowest page is the one by {slowest[0].replace('_', ' ')}.",
        "page: the whole answer to the browser, with the sums where there are at most 10,000 payments, else without:",
        "they are then fetched by a second request. Best of five, one process.",
    ]


def asked_of(app: Flask, view: Any, case: Case) -> tuple[float, float, dict[str, tuple[int, int]]]:
    """What the page's own two questions take, and the sums by unit."""
    with app.test_request_context("/"):
        g.actor = SYSTEM
        asked = lists.read(view.shape, MultiDict(case.args))
        names = view._needed([view.columns[key] for key in view.shown])
        rows_ms = best(lambda: lists.fetch(asked, view.get_query(), names))
        totals_ms = best(lambda: view.totals(asked))
        totals = {total.unit: (total.count, total.minor) for total in view.totals(asked)}
        db.session.rollback()
    return rows_ms, totals_ms, totals


def cases(app: Flask) -> Iterator[Case]:
    """The fourteen criteria of S2, each with a value that the history holds."""
    with db.engine.connect() as connection:
        one = connection.execute(
            text(
                "SELECT billing_number, invoice_number, amount_minor, unit, card_last4, card_holder_name, "
                "card_holder_phone, approval_code, batch_id FROM payment WHERE mode = 'LIVE' AND billing_number IS NOT "
                "NULL AND batch_id IS NOT NULL AND unit = 'EUR' ORDER BY id DESC LIMIT 1"
            )
        ).one()
        name = connection.execute(text("SELECT file_name FROM batch WHERE id = :id"), {"id": one.batch_id}).scalar_one()
        newest = connection.execute(text("SELECT max(created_at) FROM payment")).scalar_one()
    month = str(newest)[:7]
    mark = fingerprint(app.extensions["payadmin.settings"].totp_keys, PAN)
    amount = f"EUR:{one.amount_minor // 100}.{one.amount_minor % 100:02}"
    yield Case("none", {}, "")
    yield Case("billing_number", {"billing_number": one.billing_number}, f"billing_number = '{one.billing_number}'")
    yield Case("invoice_number", {"invoice_number": one.invoice_number}, f"invoice_number = '{one.invoice_number}'")
    yield Case("csv_file_name", {"file": name}, f"batch_id IN (SELECT id FROM batch WHERE file_name = '{name}')")
    yield Case("amount", {"amount": amount}, f"unit = 'EUR' AND amount_minor = {one.amount_minor}")
    yield Case("card_no", {"card": f"{mark}.4242"}, f"card_fingerprint = '{mark}'")
    yield Case("card_last4", {"card": one.card_last4}, f"card_last4 = '{one.card_last4}'")
    holder = one.card_holder_name
    yield Case("card_holder_name", {"card_holder_name": holder}, f"card_holder_name = '{holder}'")
    phone = one.card_holder_phone
    yield Case("card_holder_phone", {"card_holder_phone": phone}, f"card_holder_phone = '{phone}'")
    # The business day of the benchmark's settings begins with the UTC day in winter, the months that are asked for.
    yield Case("start_date", {"created_at": f"{month}-01.."}, f"created_at >= '{month}-01 00:00:00'")
    yield Case("end_date", {"created_at": "..2025-11-30"}, "created_at < '2025-12-01 00:00:00'")
    of_kind = "batch_id IN (SELECT id FROM batch WHERE kind = 'SINGLE_PAYMENT')"
    yield Case("batch_type", {"batch_type": "SINGLE_PAYMENT"}, of_kind)
    yield Case("payment_status", {"status": "FAILED"}, "status = 'FAILED'")
    yield Case("respond_code", {"response_code": "05"}, "response_code = '05'")
    yield Case("approval_code", {"approval_code": one.approval_code}, f"approval_code = '{one.approval_code}'")
    yield Case("error_code", {"error_code": "expired_card"}, "error_code = 'expired_card'")


def plain(statement: str, case: Case) -> list[Any]:
    """The rows of a statement, all of them, on a connection of its own."""
    where = f" AND {case.where}" if case.where else ""
    with db.engine.connect() as connection:
        return list(connection.exec_driver_sql(statement.replace("{columns}", _COLUMNS).replace("{where}", where)))


def best(act: Callable[[], Any]) -> float:
    """The fastest of a few goes, in milliseconds: other work on the machine only ever adds."""
    fastest = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        act()
        fastest = min(fastest, time.perf_counter() - start)
    return shorter(fastest * 1_000)
