"""What a person reads in a template is a text of the catalogue without being told so.

A piece of text between two tags, a readable attribute such as `aria-label`, and a sentence in quotes inside an
expression are looked up while the page is written. A sentence that holds a value or is split by a tag cannot be found
that way, because languages order their words differently: it is written with `{% trans %}`. `scan` finds both kinds,
for the extraction and for the test that fails on pieces of sentences.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

LOOKUP = "said_"

# Attributes that people read or hear.
READABLE = frozenset(
    {"alt", "aria-description", "aria-label", "aria-roledescription", "aria-valuetext", "data-confirm"}
    | {"data-confirm-verb", "placeholder", "title"}
)
# Elements inside a sentence: text that goes on before or behind one of these is only a piece of it.
INLINE = frozenset({"a", "abbr", "b", "br", "code", "em", "i", "kbd", "mark", "small", "strong", "u"})
# What is the same in every language.
SILENT_TAGS = frozenset({"code", "kbd", "samp", "pre"})
RAW_TAGS = frozenset({"script", "style"})
NAMES = frozenset({"payadmin", "Aegis", "Ente Auth", "Google Authenticator", "Microsoft Authenticator", "CSV", "JSON"})
# Calls that draw and say nothing: text beside them stands alone.
DRAWN = frozenset({"icon", "csrf", "csrf_token", "required_mark"})

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)|<!--|<!")
_ATTRIBUTE = re.compile(r"\s*(?:(>|/>)|([^\s=/>\"']+)(\s*=\s*)?)")
_SENTENCE = re.compile(
    r"[A-Z][a-z\u2019']+(?:[ ,.:;…!?)-].*)?|[A-Z](?:-[a-z]| [a-z]).*|[A-Z0-9][^ ]* [a-z].*", re.DOTALL
)
_BEGINS = re.compile(r"[A-Z0-9“\"(+]")
_ENDS = re.compile(r"[.!?:…]\Z")
_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Found:
    """A text of a template, or a piece that cannot be one."""

    line: int
    text: str
    whole: bool


@dataclass
class _Piece:
    """A stretch of a data token: markup as it is, or a candidate for a text."""

    raw: str
    line: int
    is_text: bool = False
    whole: bool = True


class _Html:
    """Where in the HTML the template stands, from one data token to the next."""

    def __init__(self) -> None:
        self.place = "text"  # text, tag, value, raw, comment
        self.tag = ""
        self.closing = False
        self.attribute = ""
        self.quote = ""
        self.silent: list[str] = []
        self.before = "start"  # what stands to the left of the next text: start, tag, inline-end, expression

    def read(self, data: str, line: int, *, follows: str) -> list[_Piece]:
        """The pieces of one data token; `follows` says what comes after it: expression, drawn or statement."""
        pieces: list[_Piece] = []
        at = 0
        while at < len(data):
            start = at
            match self.place:
                case "text":
                    at = self._text(data, at, line, pieces, follows)
                case "tag":
                    at = self._tag(data, at)
                    pieces.append(_Piece(data[start:at], line))
                case "value":
                    at = self._value(data, at, line, pieces)
                case "raw":
                    end = re.compile(rf"</{self.tag}\s*>", re.IGNORECASE).search(data, at)
                    at = end.end() if end else len(data)
                    self.place = "text" if end else "raw"
                    pieces.append(_Piece(data[start:at], line))
                case _:
                    found = data.find("-->", at)
                    at = len(data) if found < 0 else found + 3
                    self.place = "comment" if found < 0 else "text"
                    pieces.append(_Piece(data[start:at], line))
            line += data.count("\n", start, at)
        return pieces

    def _text(self, data: str, at: int, line: int, pieces: list[_Piece], follows: str) -> int:
        tag = _TAG.search(data, at)
        end = tag.start() if tag else len(data)
        if end > at:
            behind = follows if tag is None else _kind(tag)
            pieces.append(self._candidate(data[at:end], line, behind))
        if tag is None:
            return end
        if not tag[2]:
            self.place = "comment" if tag[0] == "<!--" else "tag"
            self.tag, self.closing = "", False
        else:
            self.place, self.tag, self.closing = "tag", tag[2].lower(), bool(tag[1])
        pieces.append(_Piece(tag[0], line))
        return tag.end()

    def _candidate(self, raw: str, line: int, behind: str) -> _Piece:
        text = _plain(raw)
        if not _LETTER.search(text) or self.silent or text in NAMES:
            if _LETTER.search(text) or text:
                self.before = "punctuation" if not _LETTER.search(text) else self.before
            return _Piece(raw, line)
        whole = self.before != "expression" and behind != "expression"
        if self.before == "inline-end" and not _BEGINS.match(text):
            whole = False
        if behind == "inline-start" and not _ENDS.search(text):
            whole = False
        return _Piece(raw, line, is_text=True, whole=whole)

    def _tag(self, data: str, at: int) -> int:
        while at < len(data):
            found = _ATTRIBUTE.match(data, at)
            if found is None:
                at += 1
                continue
            at = found.end()
            if found[1]:
                self._close_tag(void=found[1] == "/>")
                return at
            if found[3]:
                self.attribute = found[2].lower()
                self.quote = data[at] if at < len(data) and data[at] in "\"'" else ""
                if self.quote:
                    self.place = "value"
                    return at + 1
        return at

    def _close_tag(self, *, void: bool) -> None:
        self.place = "raw" if self.tag in RAW_TAGS and not self.closing and not void else "text"
        if self.tag in SILENT_TAGS and not void:
            if self.closing:
                self.silent = self.silent[:-1]
            else:
                self.silent.append(self.tag)
        if self.tag in INLINE:
            self.before = "inline-end" if self.closing else "inline-start"
        else:
            self.before = "tag"

    def _value(self, data: str, at: int, line: int, pieces: list[_Piece]) -> int:
        end = data.find(self.quote, at)
        stop = len(data) if end < 0 else end
        opened_here = at > 0 and data[at - 1] == self.quote
        raw = data[at:stop]
        readable = self.attribute in READABLE and _LETTER.search(_plain(raw)) and _plain(raw) not in NAMES
        pieces.append(_Piece(raw, line, is_text=bool(readable), whole=opened_here and end >= 0))
        if end < 0:
            return stop
        self.place = "tag"
        pieces.append(_Piece(self.quote, line))
        return end + 1


def _kind(tag: re.Match[str]) -> str:
    name = (tag[2] or "").lower()
    if name in INLINE:
        return "inline-end" if tag[1] else "inline-start"
    return "tag"


def _plain(raw: str) -> str:
    return _SPACE.sub(" ", html.unescape(raw)).strip()


class TextExtension(Extension):
    """Has the pieces of templates that people read looked up in the catalogue of whoever reads them."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        """The tokens, with each text replaced by a call that says it in the reader's language."""
        yield from _marked(list(stream))


def scan(environment: Any, source: str) -> list[Found]:
    """The texts and the pieces of texts in a template's source, `{% trans %}` blocks left out."""
    found: list[Found] = []
    tokens = list(environment.lexer.wrap(environment.lexer.tokeniter(source, None)))
    for _ in _marked(tokens, found):
        pass
    return found


def _marked(tokens: list[Token], found: list[Found] | None = None) -> Iterator[Token]:
    place, in_trans, at = _Html(), False, 0
    while at < len(tokens):
        token = tokens[at]
        if token.type == "block_begin":
            end = _end(tokens, at, "block_end")
            word = tokens[at + 1].value
            in_trans = word == "trans" or (in_trans and word != "endtrans")
            if word in {"trans", "endtrans"}:
                place.before = "expression"
            inner = tokens[at:end]
            # Keywords of conditions compare; texts stand in what is set, called and passed on.
            yield from _expression(inner, found) if word in {"set", "call"} and not in_trans else inner
            at = end
        elif token.type == "variable_begin":
            end = _end(tokens, at, "variable_end")
            drawn = tokens[at + 1].type == "name" and tokens[at + 1].value in DRAWN
            yield from tokens[at:end] if in_trans else _expression(tokens[at:end], found)
            if place.place == "text":
                place.before = place.before if drawn else "expression"
            at = end
        elif token.type == "data" and not in_trans:
            yield from _data(place, token, _follows(tokens, at + 1), found)
            at += 1
        else:
            yield token
            at += 1


def _follows(tokens: list[Token], at: int) -> str:
    if at >= len(tokens):
        return "end"
    if tokens[at].type == "variable_begin":
        drawn = tokens[at + 1].type == "name" and tokens[at + 1].value in DRAWN
        return "drawn" if drawn else "expression"
    return "expression" if tokens[at].type == "block_begin" and tokens[at + 1].value == "trans" else "statement"


def _end(tokens: list[Token], at: int, kind: str) -> int:
    while tokens[at].type != kind:
        at += 1
    return at + 1


def _data(place: _Html, token: Token, follows: str, found: list[Found] | None) -> Iterator[Token]:
    plain: list[str] = []
    for piece in place.read(token.value, token.lineno, follows=follows):
        if not piece.is_text:
            plain.append(piece.raw)
            continue
        text = _plain(piece.raw)
        if found is not None:
            line = piece.line + piece.raw[: len(piece.raw) - len(piece.raw.lstrip())].count("\n")
            found.append(Found(line, text, piece.whole))
        if not piece.whole:
            plain.append(piece.raw)
            continue
        body = piece.raw.strip()
        lead = piece.raw[: piece.raw.index(body)]
        plain.append(lead)
        if plain:
            yield Token(token.lineno, "data", "".join(plain))
        yield from _call(token.lineno, text, printed=True)
        plain = [piece.raw[len(lead) + len(body) :]]
    if rest := "".join(plain):
        yield Token(token.lineno, "data", rest)


def _call(line: int, text: str, *, printed: bool) -> Iterator[Token]:
    if printed:
        yield Token(line, "variable_begin", "{{")
    yield Token(line, "name", LOOKUP)
    yield Token(line, "lparen", "(")
    yield Token(line, "string", text)
    yield Token(line, "rparen", ")")
    if printed:
        yield Token(line, "variable_end", "}}")


def _expression(tokens: list[Token], found: list[Found] | None) -> Iterator[Token]:
    """The tokens of one expression; sentences in quotes become calls, unless they are compared or name something."""
    for at, token in enumerate(tokens):
        if token.type != "string" or not _SENTENCE.fullmatch(token.value):
            yield token
            continue
        before, behind = tokens[at - 1], tokens[at + 1]
        named = before.type in {"eq", "ne", "lbracket"} or behind.type in {"colon", "rbracket", "eq", "ne"}
        compared = {before.value, behind.value} & {"in", "is", "not"}
        called = before.type == "lparen" and tokens[at - 2].value in {"_", "gettext", "ngettext", "get", "tr"}
        if named or compared or called or token.value in NAMES:
            yield token
            continue
        # A sentence that is put together is a piece, however whole it looks.
        whole = "{" not in token.value and before.type != "tilde" and behind.type not in {"tilde", "dot", "add"}
        if found is not None:
            found.append(Found(token.lineno, token.value, whole))
        if whole:
            yield from _call(token.lineno, token.value, printed=False)
        else:
            yield token
