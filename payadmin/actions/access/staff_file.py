"""Users from a file: every row is checked, and either all of them are made or none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from sqlalchemy import select

from payadmin.actions.access.approval import FILE_GATE
from payadmin.actions.access.details import (
    USERNAME,
    WRONG_USERNAME,
    check_menu,
    plain_email,
    plain_mobile,
    plain_name,
)
from payadmin.actions.access.matrix import check_roles, manager_for
from payadmin.actions.access.sign_in import plain_username
from payadmin.actions.access.staff import Invitation, invite
from payadmin.config import current_settings
from payadmin.kernel import passwords
from payadmin.kernel.errors import Conflict, Invalid, Refusal
from payadmin.kernel.links import new_nonce
from payadmin.kernel.sheets import csv_rows, read_table, text_of
from payadmin.kernel.text import _
from payadmin.kernel.xlsx import xlsx
from payadmin.models.access import StaffUser
from payadmin.models.parties import Organization
from payadmin.permissions import MENU, Permission, Role
from payadmin.work import Actor, Work, use_case

MOST_ROWS: Final = 100
MOST_BYTES: Final = 1024 * 1024
LONGEST_SHOWN: Final = 60


@dataclass(frozen=True)
class SheetColumn:
    """A column of the file."""

    key: str
    help: str
    required: bool
    example: str


COLUMNS: Final = (
    SheetColumn("username", "2 to 64 letters, digits, dots, dashes or underscores", True, "elena.weber"),
    SheetColumn("full_name", "First and last name", True, "Elena Weber"),
    SheetColumn("email", "Where the credentials go", True, "elena.weber@example.com"),
    SheetColumn("mobile", "Such as +44 7700 900123", False, "+44 7700 900123"),
    SheetColumn("roles", "One or more, with semicolons between them", True, "Payments operator"),
    SheetColumn("menu_access", "Menu entries left, with semicolons between them; empty: all of the roles", False, ""),
    SheetColumn("organization", "Its name, for issuers and partners", False, ""),
    SheetColumn("support_manager", "User name of whom an SCC works for", False, ""),
)
_FIELDS: Final = {"organization_id": "organization", "manager_id": "support_manager"}
_ROLES: Final = {word.casefold(): role for role in Role for word in (role.value, role.name)}
_ENTRIES: Final = {
    word.casefold(): item.key for section in MENU for item in section.items for word in (item.label, item.key)
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with one cell."""

    row: int
    column: str
    value: str
    sentence: str


@dataclass(frozen=True)
class Taken:
    """What became of a file: who was invited, or why nobody was."""

    invitations: tuple[Invitation, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


Lines = Sequence[tuple[int, Mapping[str, str]]]


def import_staff(actor: Actor, data: bytes, *, name: str) -> Taken:
    """Invite everybody in a CSV, XLSX or XLS file, or nobody.

    Args:
        data: the file; its content, not its name, says what it is. At most 100 rows.
        name: what the file is called, for what is said about it.

    Raises:
        Invalid: the file cannot be read for certain, or its columns are not those of a file of users.
        Conflict: the world moved on between the check and the making; nobody was invited.
    """
    lines, notes = _read(data, name)
    problems = check_staff_file(actor, lines)
    if problems:
        return Taken(problems=problems, notes=notes)
    nonces = [new_nonce() for _ in lines]
    secrets = [passwords.password_of(current_settings().secret_key, nonce) for nonce in nonces]
    # Slow on purpose, so between the transactions.
    hashes = [passwords.hash_password(secret) for secret in secrets]
    ids = _invite_everybody(actor, lines, nonces=nonces, hashes=hashes)
    is_mailed = bool(current_settings().smtp_url)
    made = zip(ids, lines, secrets, strict=True)
    return Taken(
        tuple(
            Invitation(row_id, plain_username(line["username"]), secret, is_mailed)
            for row_id, (_, line), secret in made
        ),
        notes=notes,
    )


def staff_template(form: str) -> bytes:
    """A file to fill in, with one example; `form` is "csv" or "xlsx"."""
    head, rows = [column.key for column in COLUMNS], [[column.example for column in COLUMNS]]
    if form == "csv":
        return ("\ufeff" + "".join(csv_rows(head, rows))).encode()
    return b"".join(xlsx(head, rows, [max(16, len(column.example) + 4) for column in COLUMNS]))


def _read(data: bytes, name: str) -> tuple[Lines, tuple[str, ...]]:
    table = read_table(data, name, max_rows=MOST_ROWS, max_bytes=MOST_BYTES)
    keys = [label.strip().lower().replace(" ", "_").replace("-", "_") for label in table.header]
    known = {column.key for column in COLUMNS}
    for key, label in zip(keys, table.header, strict=True):
        if key not in known:
            raise Invalid(
                _(
                    '"%(label)s" is not a column of a file of users. Remove it or correct its name.',
                    label=label[:60],
                )
            )
        if keys.count(key) > 1:
            raise Invalid(_("The column %(column)s stands there twice.", column=key))
    for column in COLUMNS:
        if column.required and column.key not in keys:
            raise Invalid(_("The column %(column)s is missing.", column=column.key))
    lines = [
        (number, dict.fromkeys(known, "") | {key: _cell(value) for key, value in zip(keys, values, strict=True)})
        for number, values in table.rows
    ]
    if not lines:
        raise Invalid("The file has a header but no rows.")
    return lines, table.notes


def _cell(value: object) -> str:
    text = " ".join(text_of(value).split())  # type: ignore[arg-type]
    # The apostrophe that keeps spreadsheets from running a cell is no part of what it says.
    return text[1:] if text[:1] == "'" and text[1:2] in "=+-@" else text


@use_case(Permission.ACCESS_STAFF_MANAGE)
def check_staff_file(work: Work, lines: Lines) -> tuple[Problem, ...]:
    """What is wrong with each cell of a file; nothing is changed."""
    found: list[Problem] = []
    first: dict[tuple[str, str], int] = {}
    for number, line in lines:
        refused = _Row(work, line).refusals()
        for key in ("username", "email"):
            known = line[key].casefold()
            if known and first.setdefault((key, known), number) != number:
                refused[key] = _("Row %(row)s has the same.", row=first[key, known])
        found += [Problem(number, key, line.get(key, "")[:LONGEST_SHOWN], refused[key]) for key in refused]
    return tuple(found)


@use_case(Permission.ACCESS_STAFF_MANAGE, gate=FILE_GATE)
def _invite_everybody(
    work: Work, lines: Lines, *, nonces: Sequence[str | None] = (), hashes: Sequence[str | None] = ()
) -> list[int]:
    made = []
    for (number, line), nonce, password_hash in zip_longest(lines, nonces, hashes):
        row = _Row(work, line)
        if refused := row.refusals():
            column, sentence = next(iter(refused.items()))
            raise Conflict(
                _(
                    "Row %(row)s, %(column)s: %(sentence)s Nobody was invited.",
                    row=number,
                    column=column,
                    sentence=sentence,
                )
            )
        staff = invite(
            work,
            username=line["username"],
            full_name=line["full_name"],
            email=line["email"],
            mobile=line["mobile"] or None,
            roles=row.roles,
            organization_id=row.organization_id,
            manager_id=row.manager_id,
            menu_access=row.menu,
            nonce=nonce,
            password_hash=password_hash,
        )
        made.append(staff.id)
    return made


class _Row:
    """One row against the rules: what it means, and what is wrong with each of its cells."""

    def __init__(self, work: Work, line: Mapping[str, str]) -> None:
        self.work = work
        self.line = line
        self.roles: frozenset[Role] = frozenset()
        self.menu: tuple[str, ...] = ()
        self.organization_id: int | None = None
        self.manager_id: int | None = None

    def refusals(self) -> dict[str, str]:
        """The sentence for each column that is wrong."""
        checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("username", self._username),
            ("full_name", lambda: plain_name(self.line["full_name"])),
            ("email", lambda: plain_email(self.work, self.line["email"])),
            ("mobile", lambda: plain_mobile(self.line["mobile"])),
            ("roles", self._roles),
            ("menu_access", self._menu),
            ("organization", self._organization),
            ("support_manager", self._manager),
        )
        found: dict[str, str] = {}
        for column, check in checks:
            try:
                check()
            except Refusal as refusal:
                found[_FIELDS.get(refusal.field or "", refusal.field or column)] = refusal.sentence
        return found

    def _username(self) -> None:
        name = plain_username(self.line["username"])
        if not USERNAME.fullmatch(name) or len(self.line["username"]) > len(name):
            raise Invalid(WRONG_USERNAME)
        if self.work.exists(StaffUser.username == name):
            raise Conflict("This user name is taken.")

    def _roles(self) -> None:
        named = {word: _ROLES.get(word.casefold()) for word in _words(self.line["roles"])}
        if unknown := [word for word, role in named.items() if role is None]:
            raise Invalid(_("There is no role “%(unknown)s”.", unknown=unknown[0][:40]))
        self.roles = frozenset(role for role in named.values() if role is not None)
        check_roles(self.work.actor, self.roles)

    def _menu(self) -> None:
        named = {word: _ENTRIES.get(word.casefold()) for word in _words(self.line["menu_access"])}
        if unknown := [word for word, key in named.items() if key is None]:
            raise Invalid(_("There is no menu entry “%(unknown)s”.", unknown=unknown[0][:40]))
        self.menu = tuple(sorted({key for key in named.values() if key is not None}))
        check_menu(self.menu)

    def _organization(self) -> None:
        if name := self.line["organization"]:
            self.organization_id = self.work.one(select(Organization.id).where(Organization.name == name))
            if self.organization_id is None:
                raise Invalid("There is no organization with this name.")

    def _manager(self) -> None:
        wanted = None
        if name := self.line["support_manager"]:
            wanted = self.work.one(select(StaffUser.id).where(StaffUser.username == plain_username(name)))
            if wanted is None:
                raise Invalid("There is no user with this name.")
        self.manager_id = manager_for(self.work, self.roles, wanted)


def _words(text: str) -> Iterable[str]:
    return dict.fromkeys(word for word in (part.strip() for part in text.replace("|", ";").split(";")) if word)
