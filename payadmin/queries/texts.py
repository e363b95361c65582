"""The texts as the i18n page lists them: every text of the program, what the catalogue says, what staff say instead."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin import texts
from payadmin.kernel.text import ENGLISH
from payadmin.models.audit import AuditEvent
from payadmin.models.system import TranslationOverride
from payadmin.texts import Message

HISTORY_LENGTH = 50


@dataclass(frozen=True)
class Line:
    """One text in one language.

    Attributes:
        message: what the catalogue knows of it.
        forms: what is said now; the English where nobody has translated it.
        override: what staff have written; None where the catalogue holds.
        version: the version of the override, 0 without one.
    """

    message: Message
    forms: Sequence[str]
    override: Sequence[str] | None
    version: int

    @property
    def digest(self) -> str:
        """The text's name in addresses."""
        return digest_of(self.message.key)

    @property
    def is_missing(self) -> bool:
        """Whether readers of this language are shown the English."""
        return not self.message.forms and self.override is None


def digest_of(key: str) -> str:
    """What finds a key in addresses and in the table: keys are sentences and whole mails."""
    return hashlib.sha256(key.encode()).hexdigest()


def lines(session: Session, code: str) -> list[Line]:
    """Every text in the language `code`, named ones first, then by their English."""
    rows = session.scalars(select(TranslationOverride).where(TranslationOverride.language == code))
    written = {row.key: row for row in rows}
    found = []
    for key, message in texts.messages(code).items():
        row = written.get(key)
        override = row.forms if row is not None else None
        forms = override or message.forms or (message.english if code == ENGLISH else [])
        found.append(Line(message, forms or message.english, override, row.version if row is not None else 0))
    return sorted(found, key=lambda line: (line.message.name is None, line.message.name or "", line.message.english[0]))


def search(every: Sequence[Line], *, key: str = "", word: str = "", show: str = "") -> list[Line]:
    """The texts that match.

    Args:
        every: where to look.
        key: part of the key: the stable name, the English, or a file that says it.
        word: part of what is said now, in any case.
        show: "missing", "changed", "mails", or empty for all.
    """
    key, word = key.casefold(), word.casefold()
    return [
        line
        for line in every
        if (not key or _has_key(line, key))
        and (not word or any(word in form.casefold() for form in line.forms))
        and _is_shown(line, show)
    ]


def _has_key(line: Line, key: str) -> bool:
    message = line.message
    return any(key in part.casefold() for part in (message.name or "", *message.english, *message.places))


def _is_shown(line: Line, show: str) -> bool:
    match show:
        case "missing":
            return line.is_missing
        case "changed":
            return line.override is not None
        case "mails":
            return (line.message.name or "").startswith("mail.")
    return True


def history(session: Session, code: str, key: str) -> Sequence[AuditEvent]:
    """Who changed the text in this language, the latest first."""
    row_id = session.scalar(
        select(TranslationOverride.id).where(
            TranslationOverride.language == code, TranslationOverride.digest == digest_of(key)
        )
    )
    if row_id is None:
        return []
    return session.scalars(
        select(AuditEvent)
        .where(AuditEvent.entity == TranslationOverride.__tablename__, AuditEvent.entity_id == str(row_id))
        .order_by(AuditEvent.id.desc())
        .limit(HISTORY_LENGTH)
    ).all()
