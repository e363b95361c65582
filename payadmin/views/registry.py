"""Which pages exist: classes marked with `@page`, and models with one line of `__admin__`. Each app builds its own."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from flask import Flask
from flask_admin import Admin, AdminIndexView, expose
from flask_admin.theme import Bootstrap4Theme
from werkzeug.exceptions import NotFound

from payadmin.db import Base
from payadmin.permissions import Item
from payadmin.views.base import PayAdminModelView
from payadmin.views.checks import PageError
from payadmin.views.columns import PAGE_OF
from payadmin.views.security import csp_nonce
from payadmin.views.shell import OWN_ITEMS

V = TypeVar("V", bound=type[PayAdminModelView])

PAGES: list[type[PayAdminModelView]] = []


class NoIndex(AdminIndexView):
    """Flask-Admin insists on an index page of its own, public and with its static files; ours is `shell.home`."""

    def __init__(self) -> None:
        super().__init__(name="Home", endpoint="pages", url="/pages")
        self.static_folder = None

    @expose("/")
    def index(self) -> str:
        """There is nothing here."""
        raise NotFound


def init_pages(app: Flask) -> Admin:
    """Give `app` every page that is marked, under its own address."""
    admin = Admin(
        app,
        name="payadmin",
        url="/",
        index_view=NoIndex(),
        theme=Bootstrap4Theme(base_template="admin/base.html"),
        csp_nonce_generator=csp_nonce,
    )
    build_pages(app, admin)
    return admin


def page(*, menu: str) -> Callable[[V], V]:
    """Give a view class a page under the menu item `menu`. The class names its model in `model`."""

    def mark(view: V) -> V:
        view.menu_key = menu
        PAGES.append(view)
        return view

    return mark


def discover(package: Any) -> None:
    """Import every module of `package`, so that what they mark is known."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


def zero_code_view(model: type[Base]) -> type[PayAdminModelView]:
    """The view of a model that only says `__admin__ = dict(menu=…)`; further keys become attributes of the view."""
    declared: dict[str, Any] = dict(model.__dict__["__admin__"])
    declared["menu_key"] = declared.pop("menu", "")
    return type(f"{model.__name__}View", (PayAdminModelView,), {"model": model, **declared})


def build_pages(
    app: Flask, admin: Admin, pages: Iterable[type[PayAdminModelView]] | None = None
) -> list[PayAdminModelView]:
    """Instantiate every page for `app` and put it on `admin`.

    Raises:
        PageError: lists every mistake of every page.
    """
    classes = list(PAGES if pages is None else pages)
    taken = {view.model for view in classes}
    models = [mapper.class_ for mapper in Base.registry.mappers]
    zero_code = [model for model in models if "__admin__" in model.__dict__ and model not in taken]
    if pages is None:
        classes += [zero_code_view(model) for model in sorted(zero_code, key=lambda model: model.__name__)]
    views = [view(view.model) for view in classes]
    mistakes = [mistake for view in views for mistake in view.mistakes] + _clashes(views)
    if mistakes:
        raise PageError("\n".join(["These pages cannot work:", *(f"- {mistake}" for mistake in mistakes)]))
    page_of = app.extensions.setdefault(PAGE_OF, {})
    menu = app.extensions.setdefault("payadmin.pages", {})
    for view in views:
        admin.add_view(view)
        page_of.setdefault(view.model, view)
        endpoint = f"{view.endpoint}.{view.menu_view}"
        if view.section:
            assert view.can_read_permission is not None
            own = Item(view.endpoint, view.plural_, "table", view.can_read_permission)
            app.extensions.setdefault(OWN_ITEMS, {}).setdefault(view.section, []).append(own)
            menu[own.key] = endpoint
        elif view.menu_key:
            menu[view.menu_key] = endpoint
    return views


def _clashes(views: Iterable[PayAdminModelView]) -> list[str]:
    found: list[str] = []
    names: dict[str, str] = {}
    menus: dict[str, str] = {}
    for view in views:
        name = type(view).__name__
        if view.endpoint in names:
            found.append(f"{name} and {names[view.endpoint]} both want the address /{view.slug_}/; set `slug` on one.")
        if view.menu_key and not view.section and view.menu_key in menus:
            found.append(f"{name} and {menus[view.menu_key]} both claim the menu item “{view.menu_key}”.")
        names[view.endpoint] = menus[view.menu_key] = name
    return found
