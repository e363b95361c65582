"""i18n: what payadmin says, searched by key and by word, changed and put back in every language (S3:48)."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from payadmin import texts as catalogue
from payadmin.actions import texts
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import LANGUAGES, Text, _
from payadmin.permissions import Permission
from payadmin.queries import texts as asked
from payadmin.queries.texts import Line
from payadmin.texts import LONGEST_TEXT, Language
from payadmin.views.filters import row_id_of
from payadmin.views.language import current_language
from payadmin.views.lists import today
from payadmin.views.security import current_actor

PAGE_LENGTH = 50
LONGEST_SEARCH = 200
SHOWN = {
    "": Text("All"),
    "missing": Text("Missing"),
    "changed": Text("Changed here"),
    "mails": Text("Mails"),
}
# What stands for a value in a preview, and what its placeholder means; the rest shows its own name.
VALUES = {
    "amount": Text("an amount with its currency"),
    "billing": Text("a billing number"),
    "code": Text("a code"),
    "company": Text("your company, as the settings name it"),
    "customer": Text("the customer's name"),
    "date": Text("a day"),
    "day": Text("a day"),
    "invoice": Text("an invoice number"),
    "link": Text("an address that opens a page"),
    "merchant": Text("the merchant's name"),
    "name": Text("a name"),
    "number": Text("a number; it decides between the forms, if there are several"),
    "reference": Text("a reference"),
    "status": Text("a status, in the same language"),
    "thing": Text("what the page's rows are called, in small letters"),
    "things": Text("what the page's rows are called, in small letters, several of them"),
    "transaction": Text("a transaction's ID"),
    "unit": Text("a currency"),
}

blueprint = Blueprint("texts", __name__, url_prefix="/texts")


def init_texts(app: Flask) -> None:
    """Add the page to `app`, under Admin, i18n."""
    app.register_blueprint(blueprint)
    app.extensions.setdefault("payadmin.pages", {})["texts"] = "texts.index"


@dataclass(frozen=True)
class Shown:
    """One form of a text: its field, what it is for, and how it would look."""

    name: str
    label: str
    value: str
    preview: Markup
    error: str | None = None


@blueprint.get("/")
def index() -> str:
    """The texts of one language that match what is searched for."""
    code = _language()
    key, word = (request.args.get(name, "")[:LONGEST_SEARCH].strip() for name in ("key", "word"))
    show = request.args.get("show", "")
    every = asked.lines(db.session(), code)
    found = asked.search(every, key=key, word=word, show=show if show in SHOWN else "")
    pages = max(1, -(-len(found) // PAGE_LENGTH))
    page = min(row_id_of(request.args.get("page", "")) or 1, pages)
    args = {name: value for name, value in {"key": key, "word": word, "show": show}.items() if value}
    return render_template(
        "texts/index.html",
        code=code,
        key=key,
        word=word,
        show=show,
        tabs=[(name, label, len(asked.search(every, show=name))) for name, label in SHOWN.items()],
        found=found[(page - 1) * PAGE_LENGTH : page * PAGE_LENGTH],
        number=len(found),
        page=page,
        pages=pages,
        args=args,
        address=lambda **more: url_for("texts.index", **{"language": code, **args, **more}),
    )


@blueprint.route("/<language>/<digest>/", methods=("GET", "POST"))
def text(language: str, digest: str) -> Any:
    """One text in one language: what it is, what it says, how it would look; on a post it says something else."""
    line = _line(language, digest)
    if request.method == "GET":
        return _text_page(language, line, list(line.forms), None)
    forms = [
        request.form.get(f"form{place}", "")[: LONGEST_TEXT + 1].replace("\r\n", "\n")
        for place in range(len(_labels(catalogue.language(language), line)))
    ]
    seen = row_id_of(request.form.get("seen_version", "")) or 0
    try:
        texts.change_text(current_actor(), language=language, key=line.message.key, forms=forms, seen_version=seen)
    except (Invalid, Conflict) as refusal:
        return _text_page(language, _line(language, digest), forms, refusal), refusal.status
    flash(_("Saved. Every page says it from now on."), "success")
    return redirect(url_for("texts.text", language=language, digest=digest), 303)


@blueprint.post("/<language>/<digest>/reset/")
def reset(language: str, digest: str) -> Response:
    """Go back to what the catalogue says."""
    line = _line(language, digest)
    seen = row_id_of(request.form.get("seen_version", "")) or 0
    try:
        texts.reset_text(current_actor(), language=language, key=line.message.key, seen_version=seen)
    except Conflict as refusal:
        flash(refusal.sentence, "error")
    else:
        flash(_("The catalogue's text is back."), "success")
    return redirect(url_for("texts.text", language=language, digest=digest), 303)


@blueprint.get("/<language>/<digest>/preview/")
def preview(language: str, digest: str) -> str:
    """How what is being typed would look: the fragment that the form asks for."""
    line = _line(language, digest)
    known = catalogue.language(language)
    forms = [request.args.get(f"form{place}", "")[:LONGEST_TEXT] for place in range(len(_labels(known, line)))]
    return render_template("texts/_preview.html", **_looks(language, line, forms, None))


@blueprint.before_request
def _guard() -> None:
    if not current_actor().may(Permission.SYSTEM_TEXT_WRITE):
        raise Forbidden("Your role does not include this page.")


# ------------------------------------------------------------------------------------------------ parts


def _language() -> str:
    wanted = request.args.get("language") or current_language()
    if wanted not in LANGUAGES:
        raise NotFound("There is no such language.")
    return wanted


def _line(language: str, digest: str) -> Line:
    if language not in LANGUAGES:
        raise NotFound("There is no such language.")
    found = next((line for line in asked.lines(db.session(), language) if line.digest == digest), None)
    if found is None:
        raise NotFound("There is no such text.")
    return found


def _labels(language: Language, line: Line) -> list[Text]:
    """What each form of the text is for."""
    if len(line.message.english) == 1 or language.plurals == 1:
        return [Text("Text")]
    return [Text("For one"), Text("For every other number")]


def _text_page(language: str, line: Line, forms: Sequence[str], refusal: Invalid | Conflict | None) -> str:
    message = line.message
    names = dict.fromkeys(name for english in message.english for name in catalogue.placeholders(english))
    others = []
    for code, called in LANGUAGES.items():
        other = _line(code, line.digest)
        others.append((code, called, other.forms, other.is_missing, other.override is not None))
    return render_template(
        "texts/text.html",
        line=line,
        message=message,
        title=message.name or _short(message.english[0]),
        values=[(name, VALUES.get(name)) for name in names],
        marks=catalogue.tags(message.english[-1]),
        others=others,
        history=asked.history(db.session(), language, message.key),
        problem=None if refusal is None or refusal.field else refusal.sentence,
        **_looks(language, line, forms, refusal),
    )


def _looks(language: str, line: Line, forms: Sequence[str], refusal: Invalid | Conflict | None) -> dict[str, Any]:
    known, english = catalogue.language(language), line.message.english
    speech = catalogue.speech_of(db.session(), language)
    labels = _labels(known, line)
    padded = [*forms, *[""] * len(labels)][: len(labels)]
    shown = []
    for place, (label, form) in enumerate(zip(labels, padded, strict=True)):
        name = f"form{place}"
        number = 1 if place == 0 and len(labels) > 1 else 12_431
        values = {each: _sample(each, speech, number) for each in catalogue.placeholders(" ".join(english))}
        looks = _filled(catalogue.escaped(" ".join(english), form), values)
        wrong = refusal.sentence if refusal is not None and refusal.field == name else None
        shown.append(Shown(name, label, form, looks, wrong))
    subject = None
    if (line.message.name or "").endswith(".body"):
        subject = _subject(speech, str(line.message.name).removesuffix("body") + "subject")
    return {
        "code": language,
        "shown": shown,
        "subject": subject,
        "is_mail": (line.message.name or "").startswith("mail."),
    }


def _subject(speech: catalogue.Speech, name: str) -> Markup | None:
    """The subject that goes with the body of a mail."""
    for key, message in catalogue.messages(speech.code).items():
        if message.name == name:
            values = {each: _sample(each, speech, 1) for each in catalogue.placeholders(message.english[0])}
            return _filled(Markup.escape(speech.find(key)), values)
    return None


def _filled(text: Markup, values: dict[str, str]) -> Markup:
    """The text with sample values; as it stands while somebody is still typing a placeholder."""
    if not values or catalogue.is_loose(text):
        return text
    try:
        return text % values
    except (KeyError, ValueError, TypeError):
        return text


def _sample(name: str, speech: catalogue.Speech, number: int) -> str:
    day = today()
    samples = {
        "amount": speech.money(123_450, "EUR", 2),
        "billing": "BN-20931",
        "company": "payadmin",
        "customer": "Anna Rossi",
        "date": speech.long_day(day),
        "day": speech.day(day),
        "due": speech.day(day + dt.timedelta(days=3)),
        "invoice": "INV-2026-000017",
        "link": "https://pay.example.com/register/…",
        "merchant": "Blue Bicycle Ltd",
        "name": "Anna Rossi",
        "num": speech.grouped(number),
        "number": speech.grouped(number),
        "refunded": "",
        "sentence": speech.find(f"mail.payment.paid{catalogue.NAME_END}we have received your payment. Thank you."),
        "status": speech.find("Paid"),
        "test": "",
        "transaction": "T20260412-0042",
        "unit": "EUR",
    }
    return samples.get(name, f"[{name}]")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 - a heading
