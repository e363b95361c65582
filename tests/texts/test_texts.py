"""Texts: each reader's language, what staff write above the catalogue, and what is refused."""

import datetime as dt

import pytest
from flask import Flask
from sqlalchemy import select

from payadmin import create_app, texts
from payadmin.actions.payments.notifications import request_notification
from payadmin.actions.texts import change_text, choose_language, reset_text
from payadmin.config import Settings
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.money import Money
from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind
from payadmin.kernel.text import NumberText, Text, _, _n, day_text, named
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import PaymentStatus
from payadmin.models.system import TranslationOverride
from payadmin.permissions import Permission, Role
from payadmin.queries.texts import digest_of, lines, search
from tests.support.make import Make, writing

SIGN_IN = "Sign in"
LEFT_OUT = "%(left)s of %(number)s chosen rows are left out."
ROWS = "%(number)s row"
BELL = "Notifications"
CODE = "Open your authenticator app and type the 6-digit code for <b>%(name)s</b>."


@pytest.fixture(autouse=True)
def no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is posted is tested; tests/meta/test_urls.py tests that every form carries its token."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


def login_page(app: Flask, language: str = "", **headers: str) -> str:
    client = app.test_client()
    if language:
        headers["Accept-Language"] = language
    return client.get("/login", headers=headers).text


def say(language: str, value: object) -> str:
    return texts.speech_of(db.session(), language).say(value)


# --- whose language ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "heading", "lang"),
    [
        ("", "Sign in", "en"),
        ("it-IT,it;q=0.9", "Accedi", "it"),
        ("es-MX", "Iniciar sesión", "es"),
        ("id", "Masuk", "id"),
        ("de,fr;q=0.8", "Sign in", "en"),
    ],
)
def test_a_stranger_reads_what_the_browser_asks_for(app: Flask, asked: str, heading: str, lang: str) -> None:
    page = login_page(app, asked)
    assert f"<h1>{heading}</h1>" in page
    assert f'<html lang="{lang}"' in page


def test_a_choice_at_the_sign_in_stays_with_the_browser(app: Flask) -> None:
    client = app.test_client()
    answer = client.post("/language", data={"language": "it", "next": "/login"})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "<h1>Accedi</h1>" in client.get("/login", headers={"Accept-Language": "es"}).text
    assert client.post("/language", data={"language": "de"}).status_code == 422


def test_the_choice_of_somebody_signed_in_is_kept_with_the_account(app: Flask, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    client.post("/language", data={"language": "id", "next": "//evil.example/"})
    assert "Selamat datang" in client.get("/", headers={"Accept-Language": "it"}).text
    client.delete_cookie("language")
    assert "Selamat datang" in client.get("/", headers={"Accept-Language": "it"}).text


def test_a_language_that_payadmin_does_not_speak_is_refused(app: Flask, make: Make) -> None:
    with pytest.raises(Invalid, match="does not speak"):
        choose_language(make.actor(), language="tlh")


# --- numbers, days, amounts -------------------------------------------------------------------------------------------


def test_values_are_said_in_the_language_and_code_keeps_the_english(app: Flask) -> None:
    import datetime as dt

    said = _("%(filter)s: %(sentence)s", filter=Text("Amount"), sentence=_("Enter an amount."))
    assert said == "Amount: Enter an amount."
    assert say("it", said) == "Importo: Inserisci un importo."
    day = day_text(dt.date(2026, 10, 5))
    assert (day, say("it", day), say("id", day)) == ("5 Oct 2026", "5 ott 2026", "5 Okt 2026")
    money = str(Money(123_456_78, "EUR", 2))
    assert (money, say("es", money)) == ("123,456.78 EUR", "123.456,78 EUR")
    assert (NumberText(12431), say("it", NumberText(12431))) == ("12,431", "12.431")
    assert say("en", money) == money


@pytest.mark.parametrize(
    ("language", "one", "many"),
    [("en", "1 row", "1,200 rows"), ("it", "1 riga", "1.200 righe"), ("id", "1 baris", "1.200 baris")],
)
def test_plurals_follow_the_language(app: Flask, language: str, one: str, many: str) -> None:
    said = [say(language, _n("%(number)s row", "%(number)s rows", number)) for number in (1, 1200)]
    assert said == [one, many]


def test_what_nobody_translated_is_english(app: Flask) -> None:
    assert say("it", _("No catalogue has this: %(number)s", number=3)) == "No catalogue has this: 3"
    assert say("it", "Anna Rossi") == "Anna Rossi"


# --- above the catalogue ----------------------------------------------------------------------------------------------


def test_an_override_wins_at_once_in_every_process_until_it_is_reset(
    app: Flask, make: Make, settings: Settings
) -> None:
    admin, other = make.actor(Role.ADMIN), create_app(settings)
    with other.app_context():
        assert "<h1>Accedi</h1>" in login_page(other, "it")
    change_text(admin, language="it", key=SIGN_IN, forms=["Entra"], seen_version=0)
    for each in (app, other):
        with each.app_context():
            assert "<h1>Entra</h1>" in login_page(each, "it")
            assert "<h1>Sign in</h1>" in login_page(each)
            db.session.remove()
    reset_text(admin, language="it", key=SIGN_IN, seen_version=1)
    for each in (app, other):
        with each.app_context():
            assert "<h1>Accedi</h1>" in login_page(each, "it")
            db.session.remove()
    with other.app_context():
        db.engine.dispose()


def test_english_can_be_changed_too(app: Flask, make: Make) -> None:
    change_text(make.actor(Role.ADMIN), language="en", key=SIGN_IN, forms=["Log in"], seen_version=0)
    assert "<h1>Log in</h1>" in login_page(app)


def test_markup_in_an_override_is_text_but_for_the_tags_of_the_english(app: Flask, make: Make) -> None:
    admin = make.actor(Role.ADMIN)
    hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    change_text(admin, language="it", key=SIGN_IN, forms=[hostile], seen_version=0)
    page = login_page(app, "it")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    change_text(admin, language="it", key=CODE, forms=["<b>%(name)s</b> <i>x</i> <b onclick=a>"], seen_version=0)
    shown = texts.speech_of(db.session(), "it").markup(CODE)
    assert shown == "<b>%(name)s</b> &lt;i&gt;x&lt;/i&gt; &lt;b onclick=a&gt;"


@pytest.mark.parametrize(
    ("key", "forms", "sentence"),
    [
        (LEFT_OUT, ["%(left)s righe"], "“number” is missing"),
        (LEFT_OUT, ["%(left)s di %(number)s, %(password)s"], "“password” is not a value"),
        (LEFT_OUT, ["100% di %(number)s e %(left)s"], "per cent"),
        (LEFT_OUT, ["%(left)d di %(number)s"], r"“%\(left\)d” is not a value"),
        (LEFT_OUT, ["{left} di %(number)s"], "“{left}” is not a value"),
        (LEFT_OUT, [""], "every form"),
        (ROWS, ["%(number)s riga"], "every form"),
        (ROWS, ["una riga", "righe"], "“number” is missing"),
        (CODE, ["codice per %(name)s"], "must keep these marks"),
        (SIGN_IN, ["a\x00b"], "cannot be stored"),
        (SIGN_IN, ["x" * 4001], "At most 4,000"),
    ],
)
def test_an_override_that_would_not_fit_is_refused(
    app: Flask, make: Make, key: str, forms: list[str], sentence: str
) -> None:
    with pytest.raises(Invalid, match=sentence):
        change_text(make.actor(Role.ADMIN), language="it", key=key, forms=forms, seen_version=0)
    assert db.session.scalar(select(TranslationOverride.id)) is None


@pytest.mark.parametrize("written", ["Novità al 100%", "50% off", "100%", "%s"])
def test_a_per_cent_sign_in_a_text_breaks_no_page(app: Flask, make: Make, written: str) -> None:
    admin = make.actor(Role.ADMIN)
    change_text(admin, language="en", key=BELL, forms=[written], seen_version=0)
    answer = make.browse(Role.ADMIN).get("/texts/")
    assert answer.status_code == 200
    assert f'aria-label="{written}"' in answer.text


@pytest.mark.parametrize("written", ["%(number)d da leggere", "Da leggere: 100%", "%(left)s"])
def test_what_was_written_behind_the_checks_is_said_in_english(app: Flask, make: Make, written: str) -> None:
    key = "Notifications, %(number)s unread"
    writing()
    db.session.add(TranslationOverride(language="en", digest=digest_of(key), key=key, forms=[written], serial=1))
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    with app.test_request_context():
        said = app.jinja_env.globals["gettext"](key, number="<i>3</i>")  # type: ignore[operator]
    assert said == "Notifications, &lt;i&gt;3&lt;/i&gt; unread"


def test_a_preview_draws_nothing_endless(make: Make) -> None:
    admin = make.browse(Role.ADMIN)
    address = f"/texts/it/{digest_of(LEFT_OUT)}/preview/"
    typed = "%(number)99999999s di %(left)s"
    shown = admin.get(address, query_string={"form0": typed}).text
    assert typed in shown
    assert len(shown) < 10_000


def test_a_singular_may_say_one_in_a_word(app: Flask, make: Make) -> None:
    admin = make.actor(Role.ADMIN)
    change_text(admin, language="it", key=ROWS, forms=["una riga", "%(number)s righe"], seen_version=0)
    assert say("it", _n("%(number)s row", "%(number)s rows", 1)) == "una riga"


def test_a_stale_change_is_refused_and_the_same_change_happens_once(app: Flask, make: Make) -> None:
    admin = make.actor(Role.ADMIN)
    change_text(admin, language="it", key=SIGN_IN, forms=["Entra"], seen_version=0)
    with pytest.raises(Conflict, match="Somebody else"):
        change_text(admin, language="it", key=SIGN_IN, forms=["Dentro"], seen_version=0)
    change_text(admin, language="it", key=SIGN_IN, forms=["Entra"], seen_version=1)
    events = db.session.scalars(select(AuditEvent.event).where(AuditEvent.event == "system.text.changed")).all()
    assert len(events) == 1
    with pytest.raises(NotFound):
        change_text(admin, language="it", key="No such text", forms=["x"], seen_version=0)
    with pytest.raises(NotFound):
        reset_text(admin, language="xx", key=SIGN_IN, seen_version=0)
    with pytest.raises(Forbidden):
        change_text(make.actor(Role.CFO), language="it", key=SIGN_IN, forms=["x"], seen_version=1)
    with pytest.raises(Forbidden):
        reset_text(make.actor_without(Permission.SYSTEM_TEXT_WRITE), language="it", key=SIGN_IN, seen_version=1)


def test_each_change_is_in_the_trail_with_what_was_and_what_is(app: Flask, make: Make) -> None:
    admin = make.actor(Role.ADMIN)
    change_text(admin, language="it", key=SIGN_IN, forms=["Entra"], seen_version=0)
    reset_text(admin, language="it", key=SIGN_IN, seen_version=1)
    changed, reset = db.session.scalars(
        select(AuditEvent).where(AuditEvent.entity == "translation_override").order_by(AuditEvent.id)
    ).all()
    assert changed.after == {"forms": ["Entra"], "key": SIGN_IN}
    assert (reset.event, reset.before) == ("system.text.reset", {"forms": ["Entra"]})


# --- the page ---------------------------------------------------------------------------------------------------------


def test_texts_are_found_by_key_and_by_word(app: Flask) -> None:
    every = lines(db.session(), "it")
    assert [line.message.name for line in search(every, key="mail.payment.body")] == ["mail.payment.body"]
    assert any(line.message.english == [SIGN_IN] for line in search(every, word="accedi"))
    assert search(every, key="templates/auth/login.html")
    assert search(every, word="no such word at all") == []
    assert search(every, show="missing") == []
    assert all((line.message.name or "").startswith("mail.") for line in search(every, show="mails"))


def test_the_page_lists_edits_previews_and_resets(app: Flask, make: Make) -> None:
    client, digest = make.browse(Role.ADMIN), digest_of(SIGN_IN)
    page = client.get("/texts/?language=it&word=accedi").text
    assert f"/texts/it/{digest}/" in page
    address = f"/texts/it/{digest}/"
    assert "Accedi" in client.get(address).text
    looks = client.get(f"{address}preview/?form0=Entra+%3Cb%3E").text
    assert "Entra &lt;b&gt;" in looks
    answer = client.post(address, data={"form0": "Entra", "seen_version": "0"})
    assert answer.status_code == 303
    assert "Changed here" in client.get(address).text
    assert "Entra" in client.get("/texts/?language=it&show=changed").text
    assert client.post(address, data={"form0": "", "seen_version": "1"}).status_code == 422
    assert client.post(address, data={"form0": "Altro", "seen_version": "0"}).status_code == 409
    assert client.post(f"{address}reset/", data={"seen_version": "1"}).status_code == 303
    assert "Nobody has changed it." not in client.get(address).text
    assert client.get("/texts/it/unknown/").status_code == 404
    assert client.get("/texts/?language=xx").status_code == 404


def test_a_mail_is_previewed_as_a_whole(app: Flask, make: Make) -> None:
    body = next(key for key, message in texts.messages("it").items() if message.name == "mail.payment.body")
    page = make.browse(Role.ADMIN).get(f"/texts/it/{digest_of(body)}/").text
    assert "Gentile Anna Rossi," in page
    assert "Il tuo pagamento di 1.234,50 EUR a Blue Bicycle Ltd" in page


def test_only_administrators_open_the_page(app: Flask, make: Make) -> None:
    assert make.browse(Role.PAYMENTS_OPERATOR).get("/texts/").status_code == 403


# --- pages and mails --------------------------------------------------------------------------------------------------


def test_a_list_speaks_the_reader_s_language_and_its_file_stays_english(app: Flask, make: Make) -> None:
    make.payment(amount_minor=123_456)
    client = make.browse(Role.PAYMENTS_OPERATOR)
    page = client.get("/transactions/", headers={"Accept-Language": "it"}).text
    assert "ID transazione" in page
    assert "1.234,56" in page
    assert "Transazioni" in page
    file = client.get("/transactions/export/csv/", headers={"Accept-Language": "it"}).text
    assert "Transaction ID" in file
    assert "1234.56" in file


def test_a_refusal_with_values_is_read_in_the_reader_s_language(app: Flask, make: Make) -> None:
    client = make.browse(Role.PAYMENTS_OPERATOR)
    answer = client.get("/transactions/?size=7", headers={"Accept-Language": "es"})
    assert "Una página tiene 20, 50 o 100 filas." in answer.text
    assert client.get("/transactions/?size=7", headers={"Accept": "application/json"}).json == {
        "code": "bad_address",
        "sentence": "A page has 20, 50 or 100 rows.",
    }


def test_a_flashed_text_is_read_in_the_language_of_the_page_it_is_on(app: Flask, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    client.post("/mode", data={"mode": "TEST"})
    assert "Stai guardando i pagamenti di prova." in client.get("/", headers={"Accept-Language": "it"}).text


def test_a_mail_is_written_in_the_customer_s_language(app: Flask, make: Make, settings: Settings) -> None:
    customer = make.customer(locale="it")
    payment = make.payment(customer_id=customer.id, status=PaymentStatus.PAID, amount_minor=123_450)
    mail = request_notification(make.actor(), payment.id, key="one", settings=settings)
    assert mail.subject.startswith("Il tuo pagamento di 1.234,50 EUR a ")
    assert "abbiamo ricevuto il tuo pagamento. Grazie." in mail.body
    assert "Stato:        Pagato" in mail.body


def test_a_text_survives_the_session_with_its_values(app: Flask) -> None:
    said = named("mail.export.open", "Open it here: %(link)s", link="x")
    serializer = app.session_interface.serializer  # type: ignore[attr-defined]
    again = serializer.loads(serializer.dumps({"a": said}))["a"]
    assert (again, again.name, again.values) == (said, "mail.export.open", {"link": "x"})


# --- sentences that are put together ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "english", "italian", "indonesian"),
    [
        (
            Schedule(ScheduleKind.DAY, weekdays=(1, 4), months=ALL_MONTHS),
            "Every Monday and Thursday",
            "Ogni lunedì e giovedì",
            "Setiap Senin dan Kamis",
        ),
        (
            Schedule(ScheduleKind.DATE, days=(1, 22, 28), months=ALL_MONTHS),
            "On the 1st, 22nd and 28th of every month",
            "Nei giorni 1, 22 e 28 di ogni mese",
            "Tanggal 1, 22 dan 28 setiap bulan",
        ),
        (
            Schedule(ScheduleKind.DATE, days=(3,), months=(1,)),
            "On the 3rd of January",
            "Il 3 di gennaio",
            "Tanggal 3 bulan Januari",
        ),
        (
            Schedule(
                ScheduleKind.INTERVAL,
                interval_unit=IntervalUnit.DAY,
                interval_count=14,
                anchor=dt.date(2026, 12, 5),
            ),
            "Every 14 days from 5 Dec 2026",
            "Ogni 14 giorni dal 5 dic 2026",
            "Setiap 14 hari mulai 5 Des 2026",
        ),
    ],
)
@pytest.mark.usefixtures("app")
def test_a_schedule_is_told_in_the_readers_language(
    rule: Schedule, english: str, italian: str, indonesian: str
) -> None:
    assert str(rule) == english
    assert say("it", str(rule)) == italian
    assert say("id", str(rule)) == indonesian


@pytest.mark.usefixtures("app")
def test_what_a_template_has_said_already_is_not_escaped_again() -> None:
    speech = texts.speech_of(db.session(), "it")
    once = speech.plain("The subscription was cancelled.")
    assert speech.say(once) == once == "L&#39;abbonamento è stato annullato."


def test_a_number_in_a_sentence_is_grouped_as_the_language_does(app: Flask) -> None:
    for language, shown in (("en", "12,431 rows"), ("it", "12.431 righe"), ("id", "12.431 baris")):
        with app.test_request_context(headers={"Accept-Language": language}):
            page = "{% trans number=12431 %}{{ number }} row{% pluralize %}{{ number }} rows{% endtrans %}"
            assert app.jinja_env.from_string(page).render() == shown
