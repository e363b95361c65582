"""Settings: one frozen dataclass, read once from the environment, all mistakes reported together."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import current_app

from payadmin.kernel.iban import is_bic, is_iban
from payadmin.kernel.text import LANGUAGES

# A worker's claim on a refund outlives the three calls it may make (actions/payments/orders.py, CLAIM_LEASE).
SHORTEST_SECRET = 32
LONGEST_PROVIDER_CALL = 15
# Settings of a form: what each must look like, and what is said of one that does not.
_WEB = (re.compile(r"(https?://.*)?"), "must start with http:// or https://")
_FORMS = {
    "bank_url": _WEB,
    "database_url": (
        re.compile(r"(sqlite:///|postgresql\+psycopg://).*"),
        "must start with sqlite:/// or postgresql+psycopg://",
    ),
    "phone_country": (re.compile(r"[0-9]{0,3}"), "must be one to three digits, such as 44"),
    "public_url": _WEB,
    "smtp_url": (re.compile(r"(smtps?://.*)?"), "must start with smtp:// or smtps://"),
    "support_domain": (
        re.compile(
            r"((?=.{1,120}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*)?",
            re.ASCII,
        ),
        "must be a domain such as support.example.com",
    ),
}


def current_settings() -> "Settings":
    """What the running application was told."""
    found: Settings = current_app.extensions["payadmin.settings"]
    return found


class SettingsError(ValueError):
    """One or more settings are missing or make no sense; the text lists every one of them."""


def _text(raw: str) -> str:
    return raw


def _whole(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit()):
        msg = "must be a whole number"
        raise ValueError(msg)
    return int(raw)


def _yes_no(raw: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if raw.lower() not in known:
        msg = "must be yes or no"
        raise ValueError(msg)
    return known[raw.lower()]


def _words(raw: str) -> tuple[str, ...]:
    return tuple(raw.replace(",", " ").split())


def _keys(raw: str) -> tuple[bytes, ...]:
    try:
        keys = tuple(base64.urlsafe_b64decode(word) for word in _words(raw))
    except binascii.Error:
        keys = ()
    if not keys or any(len(key) != 32 for key in keys):  # noqa: PLR2004 - AES-256
        msg = "must be one or more 32-byte keys in URL-safe base64; make one with `payadmin key`"
        raise ValueError(msg)
    return keys


def _zone(raw: str) -> str:
    try:
        ZoneInfo(raw)
    except (ZoneInfoNotFoundError, ValueError):
        msg = "must be an IANA time zone such as Europe/Rome"
        raise ValueError(msg) from None
    return raw


def _iban(raw: str) -> str:
    number = raw.replace(" ", "").upper()
    if number and not is_iban(number):
        msg = "must be an IBAN"
        raise ValueError(msg)
    return number


def _bic(raw: str) -> str:
    code = raw.strip().upper()
    if code and not is_bic(code):
        msg = "must be a BIC of 8 or 11 characters"
        raise ValueError(msg)
    return code


def _log_format(raw: str) -> str:
    if raw not in {"text", "json"}:
        msg = "must be text or json"
        raise ValueError(msg)
    return raw


def _language(raw: str) -> str:
    if raw not in LANGUAGES:
        msg = f"must be one of {', '.join(LANGUAGES)}"
        raise ValueError(msg)
    return raw


def _path(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


def _setting(parse: Callable[[str], Any], help_: str, default: Any = MISSING, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": parse, "help": help_})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything payadmin can be told. The variable of a field is its name in capitals."""

    database_url: str = _setting(
        _text, "Where the data lives: `sqlite:////path/file.db` or `postgresql+psycopg://…`.", secret=True
    )
    secret_key: str = _setting(_text, "Signs sessions, links and cursors. At least 32 characters.", secret=True)
    totp_keys: tuple[bytes, ...] = _setting(
        _keys, "Keys that encrypt second factors at rest; the first encrypts, all decrypt.", secret=True
    )
    redis_url: str = _setting(
        _text,
        "Redis or Valkey: the doorbell of the workers. Without it the scheduler drains the work itself.",
        "",
        secret=True,
    )
    simulator_url: str = _setting(
        _text, "Where the payment provider's simulator answers.", "http://127.0.0.1:8700", secret=True
    )
    provider_timeout_seconds: int = _setting(_whole, "How long a provider call may take.", 15)
    bank_url: str = _setting(
        _text,
        "The bank that takes payment files: `https://user:password@host`. Empty: files go to it by hand.",
        "",
        secret=True,
    )
    bank_iban: str = _setting(_iban, "Our account at the bank. Empty: no payment files are made.", "")
    bank_bic: str = _setting(_bic, "The BIC of our bank, if it asks for it in payment files.", "")
    bank_holder: str = _setting(_text, "Whose account that is. Empty: `COMPANY_NAME`.", "")
    smtp_url: str = _setting(
        _text,
        "`smtp://user:password@host:port` or `smtps://…`. Empty: mails are kept on the Mailbox page.",
        "",
        secret=True,
    )
    webhook_private_addresses: bool = _setting(
        _yes_no, "Whether webhooks may go to private and loopback addresses (development).", False
    )
    mail_from: str = _setting(_text, "The sender of mails.", "payadmin@localhost")
    support_domain: str = _setting(
        _text,
        "The domain of the addresses that customers answer tickets at (`payadmin mailin`). Empty: no answers by mail.",
        "",
    )
    phone_country: str = _setting(
        _text, "The calling code of phone numbers that say none, such as `44`. Empty: found only as written.", ""
    )
    business_tz: str = _setting(_zone, "The time zone of days, months and schedules.", "Europe/London")
    default_language: str = _setting(
        _language, "The language of pages and mails where nobody chose one: `en`, `es`, `id` or `it`.", "en"
    )
    company_name: str = _setting(_text, "Printed on invoices and mails.", "payadmin")
    files_folder: Path = _setting(_path, "Folder for invoices and other files payadmin keeps.", Path("files"))  # noqa: RUF009
    export_job_rows: int = _setting(_whole, "Larger lists are exported by a worker, for the Exports page.", 50_000)
    export_days: int = _setting(_whole, "How many days the files of the Exports page are kept.", 7)
    document_days: int = _setting(
        _whole, "How many days the files of rejected and replaced identity documents are kept.", 90
    )
    public_url: str = _setting(
        _text, "Where people reach payadmin, such as https://pay.example.com: mails link there. Empty: no links.", ""
    )
    trusted_hosts: tuple[str, ...] = _setting(_words, "Host names payadmin answers to. Empty: any (development).", ())
    proxy_hops: int = _setting(_whole, "How many trusted proxies stand in front (ProxyFix).", 0)
    secure_cookies: bool = _setting(_yes_no, "Cookies over https only, with the `__Host-` prefix and HSTS.", True)
    frame_ancestors: tuple[str, ...] = _setting(
        _words, "Origins that may show the shared Analytics page in a frame. Empty: none.", ()
    )
    session_idle_minutes: int = _setting(_whole, "A session ends after this long without an act.", 15)
    session_absolute_hours: int = _setting(_whole, "A session ends after this long, whatever happens.", 12)
    api_rate_per_minute: int = _setting(_whole, "Requests a minute that one key of the API may make.", 6_000)
    log_format: str = _setting(
        _log_format, "`text` for people, `json` for machines: one object a line, without personal data.", "text"
    )
    metrics_token: str = _setting(
        _text, "What Prometheus sends as `Authorization: Bearer …` to /metrics. Empty: no metrics.", "", secret=True
    )
    sentry_dsn: str = _setting(
        _text,
        "Where errors are reported, with `payadmin[sentry]`, without personal data. Empty: nowhere.",
        "",
        secret=True,
    )
    worker_threads: int = _setting(_whole, "Provider calls one worker makes at the same time.", 8)
    demo: bool = _setting(_yes_no, "Set by `payadmin demo`: the login page names the demo accounts.", False)

    def __post_init__(self) -> None:
        if mistakes := _senseless(vars(self)):
            raise SettingsError("\n".join(mistakes))

    @property
    def zone(self) -> ZoneInfo:
        """The business time zone."""
        return ZoneInfo(self.business_tz)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read every field from `environ`.

        Raises:
            SettingsError: lists every missing or malformed variable at once.
        """
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        for item in fields(cls):
            raw = environ.get(item.name.upper())
            if raw is None:
                if item.default is MISSING:
                    mistakes.append(f"{item.name.upper()} is required. {item.metadata['help']}")
                continue
            try:
                values[item.name] = item.metadata["parse"](raw)
            except ValueError as error:
                mistakes.append(f"{item.name.upper()} {error}")
        mistakes += _senseless(values)
        if mistakes:
            raise SettingsError("\n".join(mistakes))
        return cls(**values)


def _senseless(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with those settings that are there."""
    mistakes = [
        f"{name.upper()} {must}"
        for name, (form, must) in _FORMS.items()
        if name in values and not form.fullmatch(values[name])
    ]
    if len(values.get("secret_key", " " * SHORTEST_SECRET)) < SHORTEST_SECRET:
        mistakes.append(f"SECRET_KEY must have at least {SHORTEST_SECRET} characters")
    if not 1 <= values.get("provider_timeout_seconds", 1) <= LONGEST_PROVIDER_CALL:
        mistakes.append(f"PROVIDER_TIMEOUT_SECONDS must be between 1 and {LONGEST_PROVIDER_CALL}")
    if values.get("bank_url") and not values.get("bank_iban"):
        mistakes.append("BANK_URL needs BANK_IBAN, our account at that bank")
    if 0 < len(values.get("metrics_token", "")) < SHORTEST_SECRET:
        mistakes.append(f"METRICS_TOKEN must have at least {SHORTEST_SECRET} characters")
    counts = ("api_rate_per_minute", "document_days", "export_days", "export_job_rows", "worker_threads")
    mistakes += [f"{name.upper()} must be at least 1" for name in counts if values.get(name, 1) < 1]
    return mistakes


def settings_table() -> str:
    """The settings as the README's table; a test compares the two."""
    lines = ["| variable | default | what it says |", "|---|---|---|"]
    lines += [
        f"| `{item.name.upper()}` | {_shown(item.default)} | {item.metadata['help']} |" for item in fields(Settings)
    ]
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if default is MISSING:
        return "required"
    if isinstance(default, bool):
        return "`yes`" if default else "`no`"
    return f"`{default}`" if default not in ("", ()) else "empty"
