"""A demo in processes of its own, the codes of its accounts, and pages of a Chromium that sit in front of it."""

import contextlib
import datetime as dt
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from payadmin import create_worker_app
from payadmin.actions import access
from payadmin.config import Settings
from payadmin.db import db
from payadmin.embedded import Home
from payadmin.kernel import totp
from payadmin.models import load_models
from payadmin.permissions import Role
from payadmin.work import SYSTEM

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 300
STOP_SECONDS = 30
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 30_000  # for anything on a page: a busy machine is no fault of it
expect.set_options(timeout=PATIENCE_MS)
_ADDRESS = re.compile(r"payadmin is ready: (http://\S+/)")


class Demo:
    """`payadmin demo`, as a newcomer starts it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.home.with_suffix(".log")
        command = [sys.executable, "-m", "payadmin.cli", "demo", "--home", str(self.home), "--port", "0"]
        env = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)
        until = time.monotonic() + START_SECONDS
        while not (ready := _ADDRESS.search(log.read_text())):
            assert self.process.poll() is None, f"payadmin demo ended:\n{log.read_text()}"
            assert time.monotonic() < until, f"payadmin demo did not start:\n{log.read_text()}"
            time.sleep(0.1)
        self.address = ready[1]

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def account(self, username: str) -> dict[str, str]:
        accounts = json.loads((self.home / "demo-accounts.json").read_text())
        return next(account for account in accounts if account["username"] == username)

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """What the database holds, to choose what a test acts on and to see what came of it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/payadmin.db?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()

    def invite(self, username: str, role: Role) -> str:
        """A new colleague, as an administrator invites one; returns the password for the first sign-in."""
        home = Home(self.home)
        settings = Settings.from_env({**home.secrets(), "DATABASE_URL": home.database_url, "SECURE_COOKIES": "no"})
        load_models()
        app = create_worker_app(settings)
        with app.app_context():
            email, full_name = f"{username}@example.com", username.capitalize()
            invited = access.create_staff(SYSTEM, username=username, full_name=full_name, email=email, roles=[role])
            db.session.remove()
            db.engine.dispose()
        return invited.password

    def write(self, statement: str, *values: Any) -> None:
        """Damage a row behind the application's back."""
        with contextlib.closing(sqlite3.connect(self.home / "payadmin.db", timeout=10)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            with connection:
                connection.execute(statement, values)


class Codes:
    """An authenticator app that never shows a code twice.

    The server accepts the step before and the step after the present one, so three codes come without waiting.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def next(self, secret: str) -> str:
        while True:
            now = int(time.time()) // totp.STEP_SECONDS
            step = max(now - 1, self._last.get(secret, 0) + 1)
            # A step that ends in this second may be over when the server looks at it.
            is_fresh = step >= now or time.time() % totp.STEP_SECONDS < totp.STEP_SECONDS - 3
            if step <= now + 1 and is_fresh:
                self._last[secret] = step
                return totp.code_at(secret, dt.datetime.fromtimestamp(step * totp.STEP_SECONDS, dt.UTC))
            time.sleep(0.2)


def _patient(page: Page) -> None:
    """Let `goto` return only when the parts that a page fetches by itself answer: a script is faster than a person."""
    goto = page.goto

    def patiently(url: str, **options: Any) -> Response | None:
        response = goto(url, **options)
        page.locator("html[data-ready], html:not(:has(script[src*='/main.js']))").wait_for(state="attached")
        return response

    page.goto = patiently  # type: ignore[method-assign]


class Watched:
    """Everything the browser complains about; the test that owns it fails unless it was expected."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.expected: set[int] = set()

    def watch(self, page: Page) -> Page:
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        return page

    def expect_status(self, *statuses: int) -> None:
        """Chromium writes each failed answer into the console; this page is meant to fail."""
        self.expected.update(statuses)

    def unexpected(self) -> list[str]:
        allowed = tuple(f"the server responded with a status of {status} " for status in self.expected)
        return [text for text in self.complaints if not any(words in text for words in allowed)]


class Desk:
    """Where a test sits: pages of the demo, signed in as one of its accounts."""

    def __init__(self, demo: Demo, chromium: Browser, codes: Codes, sessions: dict[str, Any], watched: Watched) -> None:
        self.demo = demo
        self.watched = watched
        self._chromium = chromium
        self._codes = codes
        self._sessions = sessions
        self._contexts: list[BrowserContext] = []

    def page(self, username: str | None = None, path: str = "", **options: Any) -> Page:
        """A page of a fresh browser at `path`, signed in unless nobody is named; `options` are Playwright's."""
        if username is not None and username not in self._sessions:
            self._sessions[username] = self._sign_in(username)
        page = self._open(username, path, options)
        if username is not None and page.url.startswith(f"{self.demo.address}login"):
            # No test needed this account for longer than a session lasts without an act.
            page.context.close()
            self._sessions[username] = self._sign_in(username)
            page = self._open(username, path, options)
        return page

    def _open(self, username: str | None, path: str, options: dict[str, Any]) -> Page:
        state = self._sessions[username] if username else None
        page = self.context(storage_state=state, **options).new_page()
        page.goto(self.demo.address + path)
        return page

    def context(self, **options: Any) -> BrowserContext:
        options.setdefault("viewport", DESK)
        options.setdefault("reduced_motion", "reduce")
        context = self._chromium.new_context(base_url=self.demo.address, accept_downloads=True, **options)
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", self.watched.watch)
        if options.get("java_script_enabled", True):
            context.on("page", _patient)
        self._contexts.append(context)
        return context

    def code(self, username: str) -> str:
        """The next code of the account's authenticator."""
        return self._codes.next(self.demo.account(username)["secret"])

    def code_of(self, secret: str) -> str:
        return self._codes.next(secret)

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _sign_in(self, username: str) -> Any:
        page = self.page(path="login")
        self.type_password(page, username)
        self.type_code(page, username)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
        return page.context.storage_state()

    def type_password(self, page: Page, username: str) -> None:
        page.get_by_label("User name", exact=True).fill(username)
        page.get_by_label("Password", exact=True).fill(self.demo.account(username)["password"])
        page.get_by_role("button", name="Continue").click()

    def type_code(self, page: Page, username: str) -> None:
        page.get_by_role("textbox", name="Authenticator code").fill(self.code(username))
        page.get_by_role("button", name="Verify and sign in").click()


def chromium_path() -> str:
    found = next((path for name in CHROMIUMS if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"The browser tests need Chromium: none of {', '.join(CHROMIUMS)} is installed.", pytrace=False)
    return found
