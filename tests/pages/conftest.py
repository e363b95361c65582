"""A temporary package with two models: `Gadget` has one line of `__admin__`, `Widget` a view class with actions."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db
from tests.support.make import Make
from tests.support.signin import TestBrowser

MODELS = '''
    import datetime as dt
    from enum import StrEnum

    from sqlalchemy import ForeignKey, Index, MetaData, String, Text
    from sqlalchemy.orm import Mapped, mapped_column, relationship

    from payadmin.db import NAMING, Base, Json, UtcDateTime, enum_column, search_text
    from payadmin.models.base import Audited, Row, minor_column
    from payadmin.models.parties import Customer
    from payadmin.models.payments import Unit


    class Lab(Base):
        """Tables of a test stay out of the product's metadata."""

        __abstract__ = True
        metadata = MetaData(naming_convention=NAMING)


    class Colour(StrEnum):
        RED = "Red"
        DEEP_BLUE = "Deep blue"
        GREEN = "Green"


    class Gadget(Row, Audited, Lab):
        __tablename__ = "gadget"
        __table_args__ = (
            Index("ix_gadget_created_at_id", "created_at", "id"),
            Index("ix_gadget_unit_price_minor_id", "unit", "price_minor", "id"),
        )
        __admin__ = dict(menu="Finance")

        code: Mapped[str] = mapped_column(search_text(40), unique=True, info={"label": "Code", "search": True})
        name: Mapped[str] = mapped_column(search_text(200), index=True, info={"label": "Name"})
        colour: Mapped[Colour] = enum_column(Colour, default=Colour.RED)
        price_minor: Mapped[int] = minor_column("Price", info={"readonly": False})
        unit: Mapped[str] = mapped_column(ForeignKey(Unit.code), info={"label": "Currency", "list": False})
        weight: Mapped[int | None] = mapped_column(info={"filter": True})
        customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id), index=True, info={"label": "Owner"})
        sold_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime, info={"filter": True})
        made_on: Mapped[dt.date | None] = mapped_column(info={"filter": True})
        is_fine: Mapped[bool] = mapped_column(default=True)
        settings: Mapped[dict | None] = mapped_column(Json)
        token: Mapped[str | None] = mapped_column(String(80), info={"secret": True})
        note: Mapped[str | None] = mapped_column(Text)

        customer: Mapped[Customer | None] = relationship(lazy="raise_on_sql")

        def __str__(self) -> str:
            return self.code


    class Widget(Row, Audited, Lab):
        __tablename__ = "widget"
        __table_args__ = (Index("ix_widget_place_created_at_id", "place", "created_at", "id"),)

        code: Mapped[str] = mapped_column(String(40), unique=True, info={"label": "Code"})
        place: Mapped[str] = mapped_column(String(20), default="here", info={"list": False})
        price_minor: Mapped[int] = minor_column("Price")
        unit: Mapped[str] = mapped_column(ForeignKey(Unit.code), info={"label": "Currency", "list": False})
        colour: Mapped[Colour] = enum_column(Colour, default=Colour.RED)
        painted: Mapped[int] = mapped_column(default=0)
        key: Mapped[str | None] = mapped_column(String(120), info={"secret": True})
        gadget_id: Mapped[int | None] = mapped_column(ForeignKey(Gadget.id), index=True, info={"label": "Gadget"})
'''

ACTIONS = '''
    from payadmin.audit import Event
    from payadmin.kernel.errors import Conflict
    from payadmin.permissions import Permission
    from payadmin.work import use_case
    from lab_of_pages.models import Colour, Widget


    @use_case(Permission.WALLETS_PRODUCT_READ)
    def paint(work, row_id, *, key, run_data, row_data):
        """Paint a widget; the same key paints once."""
        widget = work.get(Widget, row_id, lock=True)
        if widget.key == key:
            return "Painted already."
        if widget.code.startswith("STUBBORN"):
            raise Conflict("It does not hold paint.")
        if widget.code.startswith("BROKEN"):
            raise RuntimeError("nobody expected this")
        widget.colour = Colour[run_data["colour"]]
        widget.painted += row_data.get("coats", 1)
        widget.key = key
        work.record(Event.RECORD_UPDATED, widget, after={"colour": widget.colour}, reason=run_data["reason"])
        return f"Painted {widget.colour.value.lower()}."
'''

PAGES = """
    from sqlalchemy import select
    from wtforms import Form, IntegerField, SelectField, StringField
    from wtforms.validators import InputRequired, NumberRange

    from payadmin.permissions import Permission
    from payadmin.views.base import PayAdminModelView
    from payadmin.views.bulk import bulk_action
    from payadmin.views.registry import page
    from lab_of_pages import actions
    from lab_of_pages.models import Colour, Widget


    class PaintForm(Form):
        colour = SelectField("Colour", choices=[member.name for member in Colour])
        reason = StringField("Reason", [InputRequired("Say why.")])


    class CoatsForm(Form):
        coats = IntegerField("Coats", [NumberRange(1, 3, "One to three coats.")], default=1)


    def paintable(widget):
        return "Already green." if widget.colour is Colour.GREEN else None


    @page(menu="Finance")
    class WidgetPage(PayAdminModelView):
        model = Widget
        read = Permission.WALLETS_PRODUCT_READ
        create = None
        edit = None
        pinned = ("place",)
        tabs = "colour"
        column_list = ("code", "price", "colour", "painted", "gadget_id", "created_at")

        paint = bulk_action(
            "paint",
            "Paint…",
            permission=Permission.WALLETS_PRODUCT_READ,
            form=PaintForm,
            row_form=CoatsForm,
            eligible=paintable,
            offered=paintable,
            amount=lambda widget: (widget.price_minor, widget.unit),
        )(actions.paint)
        burn = bulk_action(
            "burn",
            "Burn…",
            permission=Permission.WALLETS_PRODUCT_READ,
            form=PaintForm,
            danger=True,
            step_up=True,
            cap=3,
        )(actions.paint)
        hide = bulk_action("hide", "Hide…", permission=Permission.SYSTEM_TEXT_WRITE)(actions.paint)

        def get_query(self):
            return select(Widget).where(Widget.place == "here")
"""


@pytest.fixture(scope="session")
def package(whole_app: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """What somebody wrote: a package of their own, with a model and one line. `whole_app` was made before, without."""
    folder: Path = tmp_path_factory.mktemp("written") / "lab_of_pages"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, text in (("models", MODELS), ("actions", ACTIONS), ("pages", PAGES)):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    sys.path.insert(0, str(folder.parent))
    modules = {name: importlib.import_module(f"lab_of_pages.{name}") for name in ("models", "actions", "pages")}
    yield SimpleNamespace(**modules)
    from payadmin.views.registry import PAGES as MARKED

    MARKED.remove(modules["pages"].WidgetPage)
    del modules["models"].Gadget.__admin__
    sys.path.remove(str(folder.parent))


@pytest.fixture(scope="session")
def lab_app(settings: Settings, package: SimpleNamespace) -> Flask:
    app = create_app(settings)
    app.testing = True
    app.test_client_class = TestBrowser
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.config["WTF_CSRF_ENABLED"] = False
    return app


@pytest.fixture
def lab(lab_app: Flask, package: SimpleNamespace, box) -> Iterator[SimpleNamespace]:
    """The application with the package's pages on a fresh database, and the package's models."""
    with lab_app.app_context():
        db.engine.dispose()
    box.renew()
    with lab_app.app_context():
        package.models.Lab.metadata.create_all(db.engine)
        yield SimpleNamespace(app=lab_app, make=Make(lab_app), **vars(package.models))
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def gadgets(lab: SimpleNamespace) -> Callable[..., list]:
    """`gadgets(3, colour=…)` makes three gadgets."""

    def make(number: int, **values) -> list:
        lab.make.unit("EUR")
        start = db.session.query(lab.Gadget).count()
        rows = [
            lab.Gadget(
                **{
                    "code": f"G-{start + place:05}",
                    "name": f"Gadget {start + place}",
                    "price_minor": 1_00 + start + place,
                    "unit": "EUR",
                    "token": "very-secret-token",
                }
                | values
            )
            for place in range(number)
        ]
        db.session.add_all(rows)
        db.session.flush()
        db.session.info.pop("payadmin.changed", None)
        db.session.commit()
        return rows

    return make


@pytest.fixture
def admin(lab: SimpleNamespace) -> FlaskClient:
    from payadmin.permissions import Role

    return lab.make.browse(Role.ADMIN)
