"""Texts in a real browser: written in two languages, and read at once in another process and another browser."""

import pytest
from playwright.sync_api import Page, expect

from payadmin.queries.texts import digest_of
from tests.support.browser import PHONE, Desk

pytestmark = pytest.mark.browser

KEY = "Use your staff account."


def test_a_text_written_in_two_languages_is_read_at_once(desk: Desk) -> None:
    words = {"it": "Entra con il tuo <b>account</b>.", "es": "Entre con su cuenta."}
    admin = desk.page("admin", "texts/")
    for language, text in words.items():
        admin.goto(f"{desk.demo.address}texts/{language}/{digest_of(KEY)}/")
        admin.locator("#form0").fill(text)
        expect(admin.locator("#looks")).to_contain_text(text)
        admin.locator("#save .btn-primary").click()
        expect(admin.locator("#form0")).to_have_value(text)
    for language, text in words.items():
        stranger = desk.page(path="login", locale=language)
        expect(stranger.get_by_text(text)).to_be_visible()
        expect(stranger.locator("html")).to_have_attribute("lang", language)


def choose(page: Page, desk: Desk, language: str) -> None:
    """Choose a language in the menu of one's name."""
    page.goto(desk.demo.address)
    with page.expect_navigation():
        page.evaluate(f"document.querySelector('#usermenu button[value={language}]').click()")


def test_longer_words_do_not_widen_a_phone(desk: Desk) -> None:
    page = desk.page("admin", viewport=PHONE)
    for language in ("it", "id", "es"):
        choose(page, desk, language)
        for path in ("", "transactions/", "subscriptions/", "texts/", "account/"):
            page.goto(desk.demo.address + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (language, path)
    choose(page, desk, "en")
