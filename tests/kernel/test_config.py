"""Settings: read once, every mistake at once, secrets never shown, and the README says what there is."""

import base64
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from payadmin.config import Settings, SettingsError, settings_table

pytestmark = pytest.mark.once

README = Path(__file__).parents[2] / "README.md"
KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
OLD_KEY = base64.urlsafe_b64encode(b"o" * 32).decode()
NEEDED = {"DATABASE_URL": "sqlite:////tmp/payadmin.db", "SECRET_KEY": "s" * 32, "TOTP_KEYS": KEY}


def test_three_settings_are_enough() -> None:
    settings = Settings.from_env(NEEDED | {"HOME": "/root", "PATH": "/bin"})
    assert settings.database_url == "sqlite:////tmp/payadmin.db"
    assert settings.totp_keys == (b"k" * 32,)
    assert settings.secure_cookies is True
    assert settings.demo is False


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"SESSION_IDLE_MINUTES": "a few", "BUSINESS_TZ": "Mars/Olympus", "SECURE_COOKIES": "perhaps"})
    found = str(caught.value).splitlines()
    assert [line.split()[0] for line in found] == [
        "DATABASE_URL",
        "SECRET_KEY",
        "TOTP_KEYS",
        "BUSINESS_TZ",
        "SECURE_COOKIES",
        "SESSION_IDLE_MINUTES",
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SECRET_KEY", "short", "at least 32 characters"),
        ("DATABASE_URL", "mysql://localhost/x", "must start with sqlite"),
        ("DATABASE_URL", "", "must start with sqlite"),
        ("TOTP_KEYS", "not base64 at all!", "32-byte keys"),
        ("TOTP_KEYS", base64.urlsafe_b64encode(b"short").decode(), "32-byte keys"),
        ("TOTP_KEYS", "", "32-byte keys"),
        ("PROXY_HOPS", "-1", "whole number"),
        ("PROXY_HOPS", "\uff11", "whole number"),
        ("PROXY_HOPS", "1e3", "whole number"),
        ("BUSINESS_TZ", "../../etc/passwd", "IANA time zone"),
        ("DEMO", "2", "yes or no"),
        ("PROVIDER_TIMEOUT_SECONDS", "0", "between 1 and 15"),
        ("PROVIDER_TIMEOUT_SECONDS", "60", "between 1 and 15"),
        ("WORKER_THREADS", "0", "at least 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} .*{says}"):
        Settings.from_env(NEEDED | {name: value})


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("TRUSTED_HOSTS", "a.example, b.example", ("a.example", "b.example")),
        ("TOTP_KEYS", f"{KEY} {OLD_KEY}", (b"k" * 32, b"o" * 32)),
        ("SECURE_COOKIES", "Off", False),
        ("WORKER_THREADS", "3", 3),
        ("FILES_FOLDER", "/srv/files", Path("/srv/files")),
        ("BUSINESS_TZ", "Asia/Almaty", "Asia/Almaty"),
    ],
)
def test_a_setting_is_read_as_its_type(name: str, value: str, read: object) -> None:
    assert getattr(Settings.from_env(NEEDED | {name: value}), name.lower()) == read


def test_the_business_zone_is_a_zone() -> None:
    assert Settings.from_env(NEEDED | {"BUSINESS_TZ": "Europe/Rome"}).zone.key == "Europe/Rome"


def test_secrets_are_not_shown_and_nothing_can_be_changed() -> None:
    settings = Settings.from_env(NEEDED)
    assert "s" * 32 not in repr(settings)
    assert "kkkk" not in repr(settings)
    with pytest.raises(FrozenInstanceError):
        settings.demo = True  # type: ignore[misc]


def test_the_table_has_a_row_for_every_setting_and_no_secret_default() -> None:
    rows = settings_table().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == [f"`{item.name.upper()}`" for item in fields(Settings)]
    assert all(row.count("|") == 4 for row in rows)


def test_the_readme_says_what_the_settings_are(request: pytest.FixtureRequest) -> None:
    between = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
    if request.config.getoption("--renew-golden"):
        README.write_text(between.sub(lambda _: settings_table(), README.read_text()))
    found = between.search(README.read_text())
    assert found, "README.md must hold the table of settings between <!-- settings --> and <!-- /settings -->"
    assert found.group().strip() == settings_table().strip(), "`pytest tests/kernel --renew-golden` writes it anew"


def test_what_is_missing_and_what_makes_no_sense_are_told_together() -> None:
    with pytest.raises(SettingsError) as found:
        Settings.from_env({"DATABASE_URL": "mysql://x", "WORKER_THREADS": "0", "PROXY_HOPS": "one"})
    for word in (
        "SECRET_KEY is required",
        "TOTP_KEYS is required",
        "DATABASE_URL must",
        "WORKER_THREADS must",
        "PROXY_HOPS",
    ):
        assert word in str(found.value)
