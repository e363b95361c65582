"""What processes say of themselves: text for people, or JSON without personal data; errors to Sentry, if wanted."""

import json
import logging
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

from flask import g, has_request_context

from payadmin.db import utcnow
from payadmin.kernel.masks import guard_logs, mask_pan_in_text

if TYPE_CHECKING:
    from payadmin.config import Settings

# Addresses, and whatever follows a word that announces a secret.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:=]+@[^\s@<>\"'(),;:]+\.[A-Za-z]{2,}")
_SECRET = re.compile(
    r"(?i)\b(tok_|sk_|pk_|whsec_|bearer\s+|token[\"']?\s*[=:]\s*[\"']?|password[\"']?\s*[=:]\s*[\"']?|code[\"']?\s*=\s*)"
    r"[^\s\"'&,;)]+"
)
_FACTS = ("method", "rule", "status", "milliseconds", "staff_id")
_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


def scrub(text: str) -> str:
    """`text` without card numbers, e-mail addresses, tokens and passwords."""
    return _SECRET.sub(r"\1•••", _EMAIL.sub("•••", mask_pan_in_text(text)))


class Scrub(logging.Filter):
    """Names the request that a record belongs to, and leaves nothing personal in its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = g.get("request_id", "-") if has_request_context() else "-"
        record.msg, record.args = scrub(record.getMessage()), ()
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line.

    Of an error it says the kind and the places in the code, never its words: they may hold what a person typed, or the
    row that a database refused.
    """

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "at": utcnow().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", "-"),
        }
        told |= {name: getattr(record, name) for name in _FACTS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = _kind(record.exc_info[1])
            frames = traceback.extract_tb(record.exc_info[2])
            told["places"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(told, ensure_ascii=False)


def _kind(error: BaseException) -> str:
    """The class of an error, and for a database's refusal its code and the constraint."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    original = getattr(error, "orig", None)
    told = [getattr(original, "sqlstate", None), getattr(getattr(original, "diag", None), "constraint_name", None)]
    return " ".join([name, *(str(part) for part in told if part)])


def set_up(settings: "Settings") -> None:
    """Have this process write its log to standard error, one line a record; doing it again changes nothing more."""
    guard_logs()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Scrub())
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(_TEXT))
    handler.name = "payadmin"
    ours = logging.getLogger()
    for other in [each for each in ours.handlers if each.name == handler.name]:
        ours.removeHandler(other)
    ours.addHandler(handler)
    logging.getLogger("payadmin").setLevel(logging.INFO)


def report_errors(settings: "Settings", **options: Any) -> None:
    """Report errors to Sentry, if a DSN is set: kinds and places, no words, no requests, no variables, no people.

    Args:
        options: more of what `sentry_sdk.init` takes.

    Raises:
        RuntimeError: a DSN is set and `payadmin[sentry]` is not installed.
    """
    if not settings.sentry_dsn:
        return
    try:
        import sentry_sdk  # noqa: PLC0415 - an extra
    except ImportError:
        msg = "SENTRY_DSN is set, but Sentry is not installed: pip install 'payadmin[sentry]'"
        raise RuntimeError(msg) from None
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=without_people,
        **options,
    )


def without_people(event: Any, _hint: Any = None) -> Any:
    """What Sentry may know of an error."""
    for part in ("request", "user", "breadcrumbs", "extra", "contexts", "server_name"):
        event.pop(part, None)
    for error in event.get("exception", {}).get("values", []):
        error["value"] = ""
    for part in ("message", "logentry"):
        if part in event:
            told = event[part]
            event[part] = scrub(told) if isinstance(told, str) else {"message": scrub(str(told.get("message", "")))}
    event["tags"] = {"request_id": g.get("request_id", "-")} if has_request_context() else {}
    return event
