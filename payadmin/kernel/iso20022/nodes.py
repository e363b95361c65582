"""The XML of what a bank sends: its tree, and the values that stand in it. What no bank sends is refused."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from xml.parsers import expat

from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import scale_of
from payadmin.kernel.text import _, one_line

MAX_BYTES: Final = 8 * 2**20
MAX_DEPTH: Final = 40
MAX_ELEMENTS: Final = 400_000
MAX_TEXT: Final = 4_000
REFERENCE_LENGTH: Final = 35
NOT_GIVEN: Final = frozenset({"", "NOTPROVIDED", "NONREF"})
UNIT: Final = re.compile(r"[A-Z]{3}")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,5})?")
_CODE: Final = re.compile(r"[A-Z0-9]{1,10}")


@dataclass
class Node:
    """An element; only elements of the message's own namespace count."""

    namespace: str
    name: str
    attributes: dict[str, str]
    inner: "list[Node]" = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    length: int = 0

    @property
    def own(self) -> str:
        """Its own text."""
        return "".join(self.pieces).strip()

    def every(self, name: str) -> Iterable["Node"]:
        """The elements of a name in it."""
        return (each for each in self.inner if each.name == name and each.namespace == self.namespace)

    def maybe(self, name: str) -> "Node | None":
        """The only element of a name, or None; twice is refused."""
        found = list(self.every(name))
        if len(found) > 1:
            raise Invalid(_("The message says %(name)s twice where it can be said once.", name=name))
        return found[0] if found else None

    def one(self, name: str) -> "Node":
        """The same; none is refused."""
        found = self.maybe(name)
        if found is None:
            raise Invalid(_("The message does not say %(name)s.", name=name))
        return found

    def text(self, name: str) -> str | None:
        """The text of the only element of a name, or None; twice is refused."""
        found = self.maybe(name)
        return None if found is None else found.own

    def needed(self, name: str) -> str:
        """The same; none is refused."""
        return self.one(name).own


class _Builder:
    """Builds the tree and refuses, while it reads, what no bank sends."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _blank, local = name.rpartition(" ")
        node = Node(namespace, local, attributes)
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise Invalid("The message is larger or deeper than any that a bank sends.")
        if self._open:
            self._open[-1].inner.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        node = self._open[-1]
        node.length += len(data)
        if node.length > MAX_TEXT:
            raise Invalid("The message is larger or deeper than any that a bank sends.")
        node.pieces.append(data)


def parse(data: bytes) -> Node:
    """The outermost element of a message.

    Raises:
        Invalid: no XML, larger or deeper than banks send, or with a document type or entities.
    """
    if len(data) > MAX_BYTES:
        raise Invalid(_("The message is too large: at most %(most)s MB are read.", most=MAX_BYTES // 2**20))
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    # A document type is the door to entities that grow and to files that are fetched. No bank sends one.
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise Invalid("The file is no XML, or a damaged one.") from None
    if builder.root is None:
        raise Invalid("The file is no XML, or a damaged one.")
    return builder.root


def _refuse(*_args: object) -> int:
    raise Invalid("The message declares a document type or entities. Such files are not read.")


# ---- values: each refuses what is none of its kind (Invalid) ---------------------------------------------------------


def as_money(node: Node) -> tuple[str, int]:
    """The currency of an amount, and its minor units."""
    unit = node.attributes.get("Ccy", "")
    if not UNIT.fullmatch(unit):
        raise Invalid("An amount of the message has no currency.")
    minor = as_positive(node.own).scaleb(scale_of(unit))
    if minor != minor.to_integral_value() or minor >= 2**63:
        raise Invalid(_("%(amount)s is no amount in %(unit)s.", amount=node.own[:30], unit=unit))
    return unit, int(minor)


def as_positive(text: str) -> Decimal:
    """A number without a sign."""
    if not _AMOUNT.fullmatch(text):
        raise Invalid(_("The message holds an amount that is none: %(amount)s.", amount=one_line(text)[:30] or "–"))
    return Decimal(text)


def as_decimal(text: str | None) -> Decimal | None:
    """The same; None where nothing is said."""
    return None if text is None else as_positive(text)


def as_count(text: str | None) -> int | None:
    """How many; None where nothing is said."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):  # noqa: PLR2004 - Max15NumericText
        raise Invalid("The message holds a count that is none.")
    return int(text)


def named_by(body: Node) -> str:
    """What the bank calls a message."""
    found = as_reference(body.one("GrpHdr").needed("MsgId"))
    if found is None:
        raise Invalid("The message has no number.")
    return found


def as_reference(text: str | None, *, cut: bool = False) -> str | None:
    """A reference, or None where banks say that there is none; one that is too long is refused, or cut."""
    found = one_line(text or "")
    if len(found) > REFERENCE_LENGTH and not cut:
        raise Invalid(_("A reference in the message is longer than %(most)s characters.", most=REFERENCE_LENGTH))
    found = found[:REFERENCE_LENGTH]
    return None if found in NOT_GIVEN else found


def as_code(text: str | None) -> str | None:
    """A code of the standard; None where nothing is said."""
    if text is None:
        return None
    if not _CODE.fullmatch(text):
        raise Invalid("The message holds a code that is none.")
    return text
