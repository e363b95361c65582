"""Texts in the hands of staff: say something else than the catalogue, go back to it, choose one's own language."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from payadmin import texts
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import LANGUAGES
from payadmin.models.access import StaffUser
from payadmin.models.system import TranslationOverride
from payadmin.permissions import Permission
from payadmin.queries.texts import digest_of
from payadmin.work import Work, use_case

STALE = "Somebody else changed this text while you were writing. Look at what it says now, then save again."


@use_case(Permission.SYSTEM_TEXT_WRITE)
def change_text(work: Work, *, language: str, key: str, forms: Sequence[str], seen_version: int) -> None:
    """Say `forms` instead of the catalogue, in every process from its next page on. The same again changes nothing.

    Args:
        language: which language is changed.
        key: which text (`payadmin.texts.key_of`).
        forms: the text; for one that depends on a number, each form in the order of the language's rule.
        seen_version: the version of the override that the form was made from; 0 for a text nobody had changed.

    Raises:
        NotFound: no such language or text.
        Invalid: a value or a mark of the text is lost or made up, or a form is missing (`texts.check_forms`).
        Conflict: somebody else changed the text meanwhile.
    """
    english = _english(language, key)
    said = [form.replace("\r\n", "\n") for form in forms]
    texts.check_forms(english, said, language)
    row = _row(work, language, key, seen_version)
    before = None if row is None else row.forms
    if before == said:
        return
    if row is None:
        row = TranslationOverride(language=language, digest=digest_of(key), key=key)
        work.session.add(row)
    _write(work, row, said)
    work.record(Event.TEXT_CHANGED, row, before={"forms": before}, after={"forms": said, "key": key}, language=language)


@use_case(Permission.SYSTEM_TEXT_WRITE)
def reset_text(work: Work, *, language: str, key: str, seen_version: int) -> None:
    """Go back to the catalogue, in every process from its next page on. Again changes nothing.

    Raises:
        NotFound: no such language or text.
        Conflict: somebody else changed the text meanwhile.
    """
    _english(language, key)
    row = _row(work, language, key, seen_version)
    if row is None or row.forms is None:
        return
    before = row.forms
    _write(work, row, None)
    work.record(Event.TEXT_RESET, row, before={"forms": before}, after={"forms": None, "key": key}, language=language)


@use_case(Permission.ACCOUNT_SELF_EDIT)
def choose_language(work: Work, *, language: str | None) -> None:
    """Choose the language of one's own pages; None goes back to what the browser asks for. Again changes nothing.

    Raises:
        Invalid: payadmin does not speak it.
    """
    if language is not None and language not in LANGUAGES:
        raise Invalid("payadmin does not speak this language.", field="language")
    staff = work.get(StaffUser, work.actor.staff_id)
    before = staff.language
    if before == language:
        return
    staff.language = language
    work.record(Event.ACCESS_LANGUAGE_CHOSEN, staff, before={"language": before}, after={"language": language})


def _english(language: str, key: str) -> list[str]:
    if language not in LANGUAGES:
        raise NotFound("There is no such language.")
    message = texts.messages(language).get(key)
    if message is None:
        raise NotFound("There is no such text.")
    return message.english


def _row(work: Work, language: str, key: str, seen_version: int) -> TranslationOverride | None:
    row: TranslationOverride | None = work.one(
        select(TranslationOverride)
        .where(TranslationOverride.language == language, TranslationOverride.digest == digest_of(key))
        .execution_options(populate_existing=True)
    )
    if (row.version if row is not None else 0) != seen_version:
        raise Conflict(STALE)
    return row


def _write(work: Work, row: TranslationOverride, forms: list[str] | None) -> None:
    with work.session.no_autoflush:
        highest = work.session.scalar(select(func.max(TranslationOverride.serial)))
    # Counted in microseconds, so that a database restored from a backup never gives a serial a second meaning.
    row.forms, row.serial = forms, max((highest or 0) + 1, int(work.now.timestamp() * 1_000_000))
    try:
        work.session.flush()
    except IntegrityError as error:
        # Another text was saved in the same moment; the serial must rise with every commit, so one of the two waits.
        raise Conflict("Another text was saved at the same moment. Save again.") from error
