"""What payadmin is measured against: stock Flask-Admin on the same table, and the bare floor of SQL and a template."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2
from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_babel import Babel
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Query

from payadmin.db import db, engine_options, prepare
from payadmin.models import load_models
from payadmin.models.payments import Mode, Payment

COLUMNS = ("status", "created_at", "transaction_id", "amount_minor", "method", "channel", "type", "customer")


class StockPayments(ModelView):
    """The same rows, columns, order, page size and search columns as payadmin's list, by Flask-Admin's own means."""

    column_list = COLUMNS
    column_searchable_list = ("transaction_id", "invoice_number", "customer.email")
    column_filters = ("status",)
    column_default_sort = ("created_at", True)
    page_size = 50
    can_export = True
    export_types = ("csv", "xlsx")
    export_max_rows = 0
    form_columns = ("description",)

    def get_query(self) -> "Query[Any]":
        return super().get_query().filter(Payment.mode == Mode.LIVE)

    def get_count_query(self) -> "Query[Any]":
        return super().get_count_query().filter(Payment.mode == Mode.LIVE)

    def filter_argument(self, operation: str) -> str:
        """The argument of a list's address that stands for the status filter with this operation."""
        assert self._filters is not None
        place = next(n for n, each in enumerate(self._filters) if str(each.operation()) == operation)
        return f"flt1_{place}"


def stock_app(url: str, *, export_rows: int = 0) -> tuple[Flask, StockPayments]:
    """An application that is nothing but Flask-Admin with one page, open to everybody."""
    app = Flask("stock", root_path=str(Path(__file__).parent), template_folder=None)  # not payadmin's templates
    app.config.update(
        SECRET_KEY="stock-flask-admin-of-a-benchmark",
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(url),
    )
    Babel(app)
    db.init_app(app)
    load_models()
    with app.app_context():
        prepare(db.engine)
        view = StockPayments(Payment, db)
        view.export_max_rows = export_rows
        Admin(app, name="stock").add_view(view)
    return app, view


_PAGE = jinja2.Environment(autoescape=True).from_string(
    "<!doctype html><title>Payments</title><table>{% for row in rows %}<tr><td>{{ row.status }}<td>{{ row.created_at }}"
    "<td>{{ row.transaction_id }}<td>{{ row.amount_minor }} {{ row.unit }}<td>{{ row.method }}<td>{{ row.channel }}"
    "<td>{{ row.type }}<td>{{ names[row.customer_id] }}</tr>{% endfor %}</table>"
)
_ROWS = text(
    "SELECT id, status, created_at, transaction_id, amount_minor, unit, method, channel, type, customer_id "
    "FROM payment WHERE mode = 'LIVE' ORDER BY created_at DESC, id DESC LIMIT 51"
)


def floor(engine: Engine) -> Callable[[Any, Callable[..., Any]], Iterable[bytes]]:
    """A WSGI application that shows the first page with two statements and one loop: nobody signed in, no count."""
    from payadmin.models.parties import Customer

    names = Customer.__table__.c

    def application(_environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with engine.connect() as connection:
            rows = connection.execute(_ROWS).all()[:50]
            wanted = {row.customer_id for row in rows}
            found = connection.execute(select(names.id, names.name).where(names.id.in_(wanted))).all()
        page = _PAGE.render(rows=rows, names=dict(map(tuple, found)))
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page.encode()]

    return application
