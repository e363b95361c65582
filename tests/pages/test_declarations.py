"""Mistakes in a page's declaration stop the start with one clear sentence each; permissions fail closed."""

import pytest
from flask import Flask
from flask_admin import Admin, expose
from flask_admin.contrib.sqla import ModelView

from payadmin.models.payments import Payment
from payadmin.permissions import Permission, Role
from payadmin.views.base import PayAdminModelView
from payadmin.views.bulk import bulk_action
from payadmin.views.checks import PageError
from payadmin.views.registry import build_pages


def page_of(lab, model="Gadget", **declared) -> type[PayAdminModelView]:
    ground = {"model": getattr(lab, model), "read": Permission.WALLETS_UNIT_READ, "slug": "tried"}
    return type("TriedPage", (PayAdminModelView,), ground | declared)


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"column_list": ("code", "wings")}, "column_list names “wings”, which Gadget does not have."),
        ({"column_filters": ("token",)}, "column_filters names “token”"),
        ({"form_columns": ("nothing",)}, "form_columns names “nothing”"),
        ({"list_also": ("nothing",)}, "list_also names “nothing”"),
        ({"detail_sections": {"A": ("code", "b")}}, "detail_sections names “b”"),
        ({"tabs": "hue"}, "tabs names “hue”"),
        ({"column_sortable": ("weight",)}, "“weight” cannot be sorted by: gadget needs an index on (weight, id)"),
        ({"default_sort": "-sold_at"}, "“sold_at” cannot be sorted by"),
        ({"read": None}, "no permission to read is declared"),
        ({"menu_key": "kitchen"}, "“kitchen” is not a key of the menu"),
        ({"column_editable_list": ("name",)}, "column_editable_list is not offered"),
        ({"do": bulk_action("do", "Do")(print)}, "the action “do” has no permission."),
        ({"do": bulk_action("do", "Do", permission=Permission.HOME_PAGE_READ)(print)}, "is not a use case"),
        ({"extra": expose("/extra/")(lambda _self: "")}, "the address of extra has no permission"),
    ],
)
def test_each_mistake_is_one_clear_sentence(lab, declared, sentence):
    app = Flask("tried")
    with lab.app.app_context(), pytest.raises(PageError) as found:
        build_pages(app, Admin(app), [page_of(lab, **declared)])
    assert sentence in str(found.value)


def test_all_mistakes_of_all_pages_are_listed_together(lab):
    app = Flask("tried")
    one = page_of(lab, column_list=("wings",), read=None)
    two = page_of(lab, model="Widget", tabs="hue")
    with pytest.raises(PageError) as found:
        build_pages(app, Admin(app), [one, two])
    assert str(found.value).count("\n- ") == 4, "three mistakes, and the same address twice"


@pytest.mark.parametrize("word", ["count", "search", "meta"])
def test_a_column_may_not_be_called_like_a_word_of_every_list_or_form(lab, word):
    from payadmin.views.columns import columns_of

    app = Flask("tried")
    view = page_of(lab)(lab.Gadget)
    view.columns = {**view.columns, word: columns_of(lab.Gadget)["name"]}
    from payadmin.views import checks

    assert any(f"“{word}” collides" in mistake for mistake in checks.mistakes(view))
    assert app is not None


def test_views_are_made_for_each_application(lab, settings):
    from payadmin import create_app

    again = create_app(settings)
    assert again.extensions["payadmin.page_of"][Payment] is not lab.app.extensions["payadmin.page_of"][Payment]


def test_every_address_of_a_page_is_shut_for_who_may_not_read_it(lab, gadgets):
    (row,) = gadgets(1)
    stranger = lab.app.test_client()
    agent = lab.make.browse(Role.SUPPORT_AGENT)
    for rule in lab.app.url_map.iter_rules():
        if not rule.endpoint.startswith("gadgets."):
            continue
        address = str(rule).replace("<int:row_id>", str(row.id)).replace("<kind>", "csv")
        address = address.replace("<token>", "x").replace("<action>", "y")
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert agent.open(address, method=method).status_code == 403, (method, address)
            assert stranger.open(address, method=method).status_code in {302, 401}, (method, address)


def test_verbs_need_their_own_permission(lab, gadgets, monkeypatch):
    (row,) = gadgets(1)
    view = lab.app.extensions["payadmin.page_of"][lab.Gadget]
    monkeypatch.setitem(view.permissions, "edit", Permission.CASH_DAY_OPERATE)
    monkeypatch.setitem(view.permissions, "create", None)
    admin = lab.make.browse(Role.ADMIN)
    assert admin.get(f"/gadgets/{row.id}/edit/").status_code == 403
    assert admin.get("/gadgets/new/").status_code == 403
    text = admin.get(f"/gadgets/{row.id}/").text + admin.get("/gadgets/").text
    assert "/edit/" not in text
    assert "/new/" not in text


def test_every_post_needs_the_token_of_its_form(lab, gadgets, monkeypatch):
    (row,) = gadgets(1)
    monkeypatch.setitem(lab.app.config, "WTF_CSRF_ENABLED", True)
    admin = lab.make.browse(Role.ADMIN)
    for address in (
        "new/",
        f"{row.id}/edit/",
        f"{row.id}/delete/",
        "action/",
        "columns/",
        "run/x/",
        "run/x/again/",
        "export/csv/",
    ):
        assert admin.post(f"/gadgets/{address}").status_code == 400, address


def test_flask_admin_still_has_what_payadmin_overrides():
    """An upgrade that renames one of these would bring a stock behaviour back; it fails here first."""
    overridden = (
        "_refresh_cache",
        "init_actions",
        "scaffold_auto_joins",
        "get_query",
        "_handle_view",
        "_run_view",
        "render",
    )
    stock = (
        "index_view",
        "details_view",
        "create_view",
        "edit_view",
        "delete_view",
        "action_view",
        "export",
        "ajax_lookup",
    )
    assert [name for name in (*overridden, *stock, "ajax_update") if not hasattr(ModelView, name)] == []


def test_no_stock_address_is_exposed_on_any_page(lab):
    ours = {*PayAdminModelView.verbs, *PayAdminModelView.frame_needs}
    for view in lab.app.extensions["payadmin.page_of"].values():
        exposed = {name for _, name, _ in view._urls}
        assert exposed <= ours | set(view.needs), view
        for url, _, _ in view._urls:
            assert not url.startswith(("/ajax", "/details", "/edit", "/delete")), view
