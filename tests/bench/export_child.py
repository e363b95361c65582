"""One export by one fresh process, which does nothing else: so that its memory is the export's own.

`python -m tests.bench.export_child NAME KIND URL STAFF FILE ROWS` prints two lines of JSON: `{"idle": …}` when it is
ready and has waited to be measured, and what the export took. NAME is `payadmin` or `stock`.
"""

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from sqlalchemy import update


def payadmin(kind: str, url: str, staff_id: int, folder: Path) -> Iterator[Iterable[bytes]]:
    """Ready the application, then stream: the confirmation with a fresh code is part of what is timed."""
    from payadmin import create_app
    from payadmin.db import db, utcnow
    from payadmin.kernel import totp
    from payadmin.models.access import SecondFactor
    from tests.bench.list import bench_settings
    from tests.support.signin import enter_as, secret_of

    app = create_app(bench_settings(url, folder))
    with app.app_context():
        client = enter_as(app, staff_id)
        with db.engine.begin() as connection:  # the other export's code was spent a moment ago
            connection.execute(update(SecondFactor).where(SecondFactor.staff_id == staff_id).values(last_step=0))
        secret = secret_of(staff_id)
        db.session.remove()
    assert client.get("/transactions/").status_code == 200
    yield ()
    address = f"/transactions/export/{kind}/"
    form = client.get(address).text
    fields = {name: value_of(form, name) for name in ("csrf_token", "offer")}
    answer = client.post(address, data=fields | {"code": totp.code_at(secret, utcnow())}, buffered=False)
    assert answer.status_code == 200, answer.text[:500]
    yield cast("Iterable[bytes]", answer.response)


def stock(kind: str, url: str, rows: int) -> Iterator[Iterable[bytes]]:
    """Stock Flask-Admin's export of the same columns."""
    from tests.bench.peers import stock_app

    app, _view = stock_app(url, export_rows=rows)
    client = app.test_client()
    assert client.get("/admin/payment/").status_code == 200
    yield ()
    answer = client.get(f"/admin/payment/export/{kind}/", buffered=False)
    assert answer.status_code == 200
    yield cast("Iterable[bytes]", answer.response)


def value_of(form: str, name: str) -> str:
    """The value of a hidden input."""
    return form.split(f'name="{name}" value="', 1)[1].split('"', 1)[0]


def run(steps: Iterator[Iterable[bytes]], file: Path) -> None:
    """Say when ready, wait for the word to go, write the file, say what it took."""
    next(steps)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    first = 0.0
    with file.open("wb") as target:
        for piece in next(steps):
            first = first or time.perf_counter() - start
            target.write(piece)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "first_byte": first, "cpu_seconds": cpu}), flush=True)


def main(arguments: list[str]) -> None:
    name, kind, url, staff, path, rows = arguments
    file = Path(path)
    makers: dict[str, Any] = {
        "payadmin": lambda: payadmin(kind, url, int(staff), file.parent),
        "stock": lambda: stock(kind, url, int(rows)),
    }
    run(makers[name](), file)


if __name__ == "__main__":
    main(sys.argv[1:])
