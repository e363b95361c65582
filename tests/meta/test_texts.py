"""What people read is marked, extracted and translated: nothing is said that a catalogue does not have."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from payadmin import extract, texts
from payadmin.kernel.text import ENGLISH, LANGUAGES
from tests.support.source import PACKAGE, ROOT

pytestmark = pytest.mark.once

# What is English on purpose: each file with how many sentences of it, and why (docs/texts.md).
KEPT = {
    "payadmin/views/subscriptions/hosted.py": 1,  # what a payer agreed to is evidence, kept word for word with the link
}


@pytest.fixture(scope="module")
def found() -> extract.Texts:
    return extract.extract()


def test_every_text_is_marked_but_what_is_english_on_purpose(found: extract.Texts) -> None:
    left = Counter(each.place for each in found.unmarked)
    for each in found.unmarked:
        known = KEPT.get(each.place, 0)
        assert left[each.place] <= known, f"{each.place}:{each.line} is not marked: {each.text} (docs/texts.md)"
    assert {place: left[place] for place in KEPT} == KEPT, "a file is better than the list says: shorten it"


def test_the_catalogues_hold_exactly_the_texts_of_the_program(found: extract.Texts) -> None:
    wrong = extract.outdated(found)
    assert not wrong, "run `payadmin texts extract`, then translate:\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_catalogue_is_complete_and_keeps_values_tags_and_plurals(code: str) -> None:
    catalogue = texts.read_catalogue(code)
    assert not list(texts.differing(catalogue))
    for message in catalogue:
        if not message.id:
            continue
        forms = texts.forms_of(message)
        assert all(forms), message.id
        assert len(forms) == (texts.language(code).plurals if isinstance(message.id, tuple) else 1), message.id
        for form in forms:
            english = message.id[0] if isinstance(message.id, tuple) else message.id
            assert form[:1].isspace() == english[:1].isspace(), message.id
            assert form.endswith("\n") == english.endswith("\n"), message.id


def test_plural_rules_are_those_of_the_languages() -> None:
    assert {code: texts.language(code).plurals for code in LANGUAGES} == {"en": 2, "es": 2, "id": 1, "it": 2}
    for code in ("en", "es", "it"):
        assert [texts.language(code).plural(number) for number in (0, 1, 2, 21)] == [1, 0, 1, 1]
    assert [texts.language("id").plural(number) for number in (0, 1, 2)] == [0, 0, 0]


def test_english_translates_itself() -> None:
    for message in texts.read_catalogue(ENGLISH):
        if message.id:
            assert texts.forms_of(message) == (list(message.id) if isinstance(message.id, tuple) else [message.id])


def test_extraction_changes_nothing_when_nothing_changed(found: extract.Texts) -> None:
    for code in LANGUAGES:
        known = texts.read_catalogue(code)
        made = extract.new_catalogue(found, code, known)
        # Without the head, which says the minute in which it is read.
        assert [(m.id, m.string, m.context) for m in made if m.id] == [
            (m.id, m.string, m.context) for m in known if m.id
        ]


def test_no_function_takes_the_name_of_the_mark_for_something_else() -> None:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            own = [part for part in ast.walk(node) if isinstance(part, ast.Name) and part.id == "_"]
            bound = {id(part) for part in own if isinstance(part.ctx, ast.Store)}
            inside = {
                id(name)
                for part in ast.walk(node)
                if isinstance(part, ast.comprehension)
                for name in ast.walk(part.target)
                if isinstance(name, ast.Name)
            }
            called = any(
                isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "_"
                for part in ast.walk(node)
            )
            assert not (bound - inside and called), f"{file.relative_to(ROOT)}:{node.lineno}: _ is a variable here"


def test_no_script_takes_the_name_of_the_mark_for_something_else() -> None:
    for file in sorted((PACKAGE / "static" / "js").glob("*.js")):
        if file.name != "texts.js":
            assert not re.search(r"\b(?:function|const|let|var) say\b", file.read_text()), file.name


# Sentences in quotes that no reader is told in their language: notes in the trail and what is kept in a row, the words
# of metrics, exported files, what the API answers to programs, and what is said to whoever writes pages.
NOT_SAID = {
    "actions/access/demo.py",
    "actions/access/own.py",
    "actions/access/sign_in.py",
    "actions/approvals/requests.py",
    "actions/exports/files.py",
    "actions/exports/schedules.py",
    "kernel/documents.py",
    "views/access/pages.py",
    "views/api/endpoints.py",
    "views/api/letting_in.py",
    "views/checkout/api.py",
    "views/registry.py",
    "views/reporting/operational.py",
    "views/system/probes.py",
}
_SENTENCE = re.compile(r"[A-Z“][^\n]* [^\n]*[.!?]")


def test_every_sentence_in_quotes_is_in_the_catalogue() -> None:
    known = {
        text
        for message in texts.read_catalogue(ENGLISH)
        for text in (message.id if isinstance(message.id, tuple) else (message.id,))
    }
    for file in sorted(PACKAGE.rglob("*.py")):
        place = str(file.relative_to(PACKAGE))
        if place.startswith(extract.SPEECHLESS) or place in NOT_SAID:
            continue
        if not place.startswith(("actions/", "kernel/", "models/", "providers/", "views/")):
            continue
        for sentence, line in _sentences(ast.parse(file.read_text())):
            assert sentence in known, f"payadmin/{place}:{line}: mark it with _(): {sentence}"


def _sentences(module: ast.Module) -> Iterator[tuple[str, int]]:
    """The whole sentences in quotes, each with its line; docstrings and pieces of f-strings are none."""
    silent: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            silent.update(id(piece) for piece in node.values)
        elif isinstance(node, ast.Expr):
            silent.add(id(node.value))
    for node in ast.walk(module):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if id(node) not in silent and _SENTENCE.fullmatch(node.value):
            yield node.value, node.lineno
