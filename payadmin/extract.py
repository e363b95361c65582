"""Every text that payadmin says: found in templates, Python and JavaScript, and written to the catalogues.

Texts are found by where they stand, so most need no mark: what a template says (`views.template_texts`), the sentence
of a refusal or a flashed message, the labels of columns, states, menus, pages, forms and actions. A text with values in
it is marked with `_`, `_n` or `named` (payadmin.kernel.text), in a template with `{% trans %}`.
"""

import ast
import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from jinja2 import Environment

from payadmin import TEMPLATES, texts
from payadmin.kernel.text import ENGLISH, LANGUAGES
from payadmin.views.template_texts import scan

PACKAGE: Final = Path(__file__).resolve().parent
# Babel does not know that Indonesian has one form for every number.
PLURALS: Final = {"id": "nplurals=1; plural=0;"}

# Calls whose first argument is a sentence for people, and those whose second one is.
FIRST: Final = frozenset(
    {"Refusal", "NotFound", "Forbidden", "Invalid", "Conflict", "NeedsApproval", "ProviderDeclined", "ProviderUnknown"}
    | {"BadAddress", "flash", "Text", "minor_column", "Tab", "Section", "StopValidation", "InputRequired"}
    | {"DataRequired", "say", "Unfinished"}
)
SECOND: Final = frozenset(
    {"Item", "bulk_action", "RowAction", "Choice", "put", "Head", "Kind", "Rule", "SheetColumn"} | {"Column"}
)
# Arguments by name, keys of `info`, and attributes of pages that are labels.
NAMED: Final = frozenset({"label", "description", "message", "help", "singular", "plural", "heading", "subtitle"})
ATTRIBUTES: Final = frozenset({"singular", "plural", "heading", "subtitle"})
KEYED: Final = frozenset({"detail_sections"})
VALUED: Final = frozenset({"labels"})
# Calls whose third argument is the name of what happened, as histories show it.
THIRD: Final = frozenset({"add_event"})
MARKS: Final = frozenset({"_", "_n", "named"})
# Rooms that speak to no reader: commands, the simulator of another company, samples, migrations.
SPEECHLESS: Final = (
    *(
        "actions/import_layouts.py",
        "actions/imports.py",
        "backup.py",
        "cli.py",
        "config.py",
        "embedded.py",
        "extract.py",
    ),
    *("migrations/", "sample/", "serving.py", "simulator/"),
)

_JAVASCRIPT: Final = re.compile(r'\bsay\(\s*"((?:[^"\\\n]|\\.)*)"')


@dataclass
class Finding:
    """One text: its English, its plural, its stable name, and the files that say it."""

    english: str
    plural: str | None = None
    name: str | None = None
    places: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Unmarked:
    """Text that people read and nobody can translate."""

    place: str
    line: int
    text: str


class Texts:
    """What was found."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str | None], Finding] = {}
        self.unmarked: list[Unmarked] = []

    def add(self, place: str, english: str, plural: str | None = None, name: str | None = None) -> None:
        """Note one text; saying it twice is saying it once."""
        if not re.search(r"[^\W\d_]", english):
            return
        known = self.found.setdefault((english, name), Finding(english, plural, name))
        known.plural = known.plural or plural
        known.places.add(place)


def extract() -> Texts:
    """Every text of the program, and what is not marked."""
    found = Texts()
    for file in sorted(TEMPLATES.rglob("*.html")):
        template_texts(found, f"templates/{file.relative_to(TEMPLATES)}", file.read_text(encoding="utf-8"))
    for file in sorted(PACKAGE.rglob("*.py")):
        place = str(file.relative_to(PACKAGE))
        if not place.startswith(SPEECHLESS):
            python_texts(found, f"payadmin/{place}", file.read_text(encoding="utf-8"))
    for file in sorted((PACKAGE / "static" / "js").glob("*.js")):
        for match in _JAVASCRIPT.finditer(file.read_text(encoding="utf-8")):
            found.add(f"payadmin/static/js/{file.name}", match[1].replace('\\"', '"'))
    for english, place in declared():
        found.add(place, english)
    return found


# ------------------------------------------------------------------------------------------------ templates


def template_texts(found: Texts, place: str, source: str) -> None:
    """The texts of a template: what stands there by itself, and what is marked with `{% trans %}` or `_()`."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.policies["ext.i18n.trimmed"] = True
    for each in scan(environment, source):
        if each.whole:
            found.add(place, each.text)
        else:
            found.unmarked.append(Unmarked(place, each.line, each.text))
    for _line, function, said in environment.extract_translations(source):  # type: ignore[attr-defined]
        given = [part for part in (said if isinstance(said, tuple) else (said,)) if isinstance(part, str)]
        match function:
            case "ngettext":
                found.add(place, given[0], given[1])
            case "pgettext":
                found.add(place, given[1], name=given[0])
            case "gettext" | "_":
                found.add(place, given[0])


# ------------------------------------------------------------------------------------------------ Python


def python_texts(found: Texts, place: str, source: str) -> None:
    """The texts of a module, by where they stand; sentences with values inside that nobody marked are unmarked."""
    module = ast.parse(source)
    constants = {
        node.targets[0].id: node.value
        for node in module.body
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }
    _Reader(found, place, constants).visit(module)


class _Reader(ast.NodeVisitor):
    def __init__(self, found: Texts, place: str, constants: dict[str, ast.expr]) -> None:
        self.found, self.place, self.constants = found, place, constants
        self.taken: set[int] = set()

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node.func)
        if name in MARKS:
            self._marked(name, node)
        elif name in FIRST or (name.endswith("Field") and name != "Field") or name == "Checkboxes":
            self._take(node.args[:1])
        elif name in SECOND:
            self._take(node.args[1:2])
        elif name in THIRD:
            self._take(node.args[2:3])
        for keyword in node.keywords:
            if name == "PaymentEvent" and keyword.arg == "event":
                self._take([keyword.value])
            if keyword.arg in NAMED or (keyword.arg == "title" and self.place.startswith("payadmin/views")):
                self._take([keyword.value])
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in {"label", "help"}:
                self._take([value])
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        # What a function answers with a full stop at its end is a reason or an outcome that somebody will read.
        self._take(part for part in _branches(node.value) if _is_sentence(part))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._take(part for part in _branches(node.value) if _is_sentence(part))
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self._attribute(statement.targets[0].id, statement.value)
        self.generic_visit(node)

    def _attribute(self, name: str, value: ast.expr) -> None:
        if name in ATTRIBUTES:
            self._take([value])
        elif name in KEYED and isinstance(value, ast.Dict):
            self._take([key for key in value.keys if key is not None])
        elif name in VALUED and isinstance(value, ast.Dict):
            self._take(value.values)

    def _marked(self, function: str, node: ast.Call) -> None:
        given = [_literal(part) for part in node.args[:2]]
        match function, given:
            case "_", [str(english), *_]:
                self.found.add(self.place, english)
            case "_n", [str(one), str(many)]:
                self.found.add(self.place, one, many)
            case "named", [str(name), str(english)]:
                self.found.add(self.place, english, name=name)
            case _:
                self.found.unmarked.append(Unmarked(self.place, node.lineno, ast.unparse(node)[:80]))

    def _take(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            if isinstance(node, ast.Name) and node.id in self.constants:
                self._take([self.constants[node.id]])
            elif isinstance(node, ast.IfExp):
                self._take([node.body, node.orelse])
            elif isinstance(node, ast.JoinedStr):
                if re.search(r"[^\W\d_]{2}", "".join(str(_literal(part) or "") for part in node.values)):
                    self.found.unmarked.append(Unmarked(self.place, node.lineno, ast.unparse(node)[:80]))
            elif (said := _literal(node)) is not None and re.search(r"[a-z]", said):
                self.found.add(self.place, said)


def _branches(node: ast.expr | None) -> Iterator[ast.expr]:
    if isinstance(node, ast.IfExp):
        yield from _branches(node.body)
        yield from _branches(node.orelse)
    elif isinstance(node, ast.Dict):
        yield from node.values
    elif node is not None:
        yield node


def _is_sentence(node: ast.expr) -> bool:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    last = _literal(parts[-1]) if parts else None
    first = _literal(parts[0]) if parts else None
    begins = first is None or first[:1].isupper()
    return last is not None and begins and last.rstrip().endswith((".", "!", "?")) and " " in last


def _called(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# ------------------------------------------------------------------------------------------------ declarations


def declared() -> Iterator[tuple[str, str]]:
    """Labels that are read from models and permissions rather than from their source, each with its place."""
    from payadmin import permissions  # noqa: PLC0415
    from payadmin.db import Base  # noqa: PLC0415
    from payadmin.models import load_models  # noqa: PLC0415
    from payadmin.views.columns import columns_of, label_of  # noqa: PLC0415

    load_models()
    for role in permissions.Role:
        yield str(role.value), "payadmin/permissions.py"
    for mapper in sorted(Base.registry.mappers, key=lambda each: each.class_.__name__):
        place = f"{mapper.class_.__module__.replace('.', '/')}.py"
        if not place.startswith("payadmin/"):
            continue
        for column in columns_of(mapper.class_).values():
            if not column.secret:
                yield str(column.label), place
                yield from ((str(label_of(member)), _home(member)) for member in column.members or ())


def _home(member: enum.Enum) -> str:
    return f"{type(member).__module__.replace('.', '/')}.py"


# ------------------------------------------------------------------------------------------------ catalogues


def new_catalogue(found: Texts, code: str, known: Catalog | None) -> Catalog:
    """The catalogue of the language `code` with every text that was found, and the translations that it already had.

    English translates itself, so that a changed English text never shows an old one.
    """
    made = Catalog(locale=code, charset="utf-8", fuzzy=False)
    made.mime_headers = list(_headers(code).items())
    for finding in sorted(found.found.values(), key=lambda each: (min(each.places), each.english)):
        message_id: Any = (finding.english, finding.plural) if finding.plural else finding.english
        old = known.get(finding.english, finding.name) if known is not None else None
        said: Any = old.string if old is not None and bool(finding.plural) is isinstance(old.id, tuple) else None
        if code == ENGLISH:
            said = message_id
        made.add(
            message_id,
            said or (("",) * made.num_plurals if finding.plural else ""),
            locations=[(place, None) for place in sorted(finding.places)],  # type: ignore[misc]
            context=finding.name,
        )
    return made


def _headers(code: str) -> dict[str, str]:
    """The head of a catalogue. Dates are left out: they would make two extractions of the same program differ."""
    plurals = PLURALS.get(code, "nplurals=2; plural=(n != 1);")
    return {"Language": code, "Content-Type": "text/plain; charset=utf-8", "Plural-Forms": plurals}


def write(found: Texts) -> dict[str, int]:
    """Bring every catalogue up to date; how many of its texts are not translated yet."""
    missing = {}
    for code in LANGUAGES:
        file = texts.po_file(code)
        made = new_catalogue(found, code, texts.read_catalogue(code) if file.exists() else None)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            head = "".join(f'"{name}: {value}\\n"\n' for name, value in _headers(code).items())
            stream.write(f'msgid ""\nmsgstr ""\n{head}\n'.encode())
            write_po(stream, made, width=120, omit_header=True, ignore_obsolete=True, include_lineno=False)
        missing[code] = sum(not all(_strings(message)) for message in made if message.id)
    return missing


def outdated(found: Texts) -> list[str]:
    """What is wrong with the catalogues, in sentences; nothing if they hold exactly the texts that were found."""
    wrong = []
    wanted = {texts.key_of(message) for message in new_catalogue(found, ENGLISH, None) if message.id}
    for code in LANGUAGES:
        catalogue = texts.read_catalogue(code)
        there = {texts.key_of(message): message for message in catalogue if message.id}
        wrong += [f"{code}: not in the catalogue: {key!r}" for key in sorted(wanted - there.keys())]
        wrong += [f"{code}: said nowhere any more: {key!r}" for key in sorted(there.keys() - wanted)]
        wrong += [f"{code}: not translated: {key!r}" for key, one in there.items() if not all(_strings(one))]
        wrong += [f"{code}: {why} {key!r}" for key, why in texts.differing(catalogue)]
    return wrong


def _strings(message: Any) -> list[str]:
    return list(message.string) if isinstance(message.string, tuple | list) else [message.string]
