"""What the texts of a workbook come to: a reader copies a shared text once for every cell that points to it."""

import itertools
import re
import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from payadmin.kernel.errors import Invalid

MOST_TEXT: Final = 64 * 1024 * 1024
TOO_MUCH: Final = f"The cells of the workbook hold more than {MOST_TEXT // 2**20} MB of text. Send CSV, or split it."
_MOST_TEXTS: Final = 2_000_000
# Marks around the shortest text, which are no part of it.
_MARKS: Final = len("><t></t></si>")
_ITEM: Final = re.compile(rb"<(?:[^\s<>/:]*:)?si\b")
_NAMED: Final = re.compile(rb"""\bt\s*=\s*["'](?:s["']|\s|&)""")
_CELL: Final = re.compile(
    rb"""<(?:\w+:)?c(?:\s+\w+="[^"<>&]*")*?\s+t="s"(?:\s+\w+="[^"<>&]*")*>\s*<(?:\w+:)?v>([0-9]{1,9})</"""
)
SST: Final = 0x00FC
_TABLE_HEAD: Final = 8
_CONTINUE: Final = 0x003C


def lengths_in(text: bytes) -> "array[int]":
    """The most that each shared text of a part may be long; a part without any has none.

    Raises:
        Invalid: more texts than the cells of any sheet could name.
    """
    lengths, start = array("I"), None
    for match in _ITEM.finditer(text):
        if start is not None:
            lengths.append(max(0, match.start() - start - _MARKS))
        start = match.start()
        if len(lengths) > _MOST_TEXTS:
            raise Invalid(TOO_MUCH)
    if start is not None:
        lengths.append(max(0, len(text) - start - _MARKS))
    return lengths


def longer(one: "array[int]", other: "array[int]") -> "array[int]":
    """The longer of the texts at each place, where two parts hold some and only one of them is read."""
    if not one or not other:
        return one or other
    return array("I", map(max, itertools.zip_longest(one, other, fillvalue=0)))


def check_cells(text: bytes, lengths: Sequence[int]) -> None:
    """Refuse a sheet whose cells name shared texts of more than `MOST_TEXT` in all.

    A cell that is written as no spreadsheet writes it counts as one that names the longest text.
    """
    longest = max(lengths, default=0)
    named = sum(1 for _ in _NAMED.finditer(text))
    if named * longest <= MOST_TEXT:
        return
    total, plain = 0, 0
    for match in _CELL.finditer(text):
        place = int(match[1])
        total += lengths[place] if place < len(lengths) else 0
        plain += 1
        if total > MOST_TEXT:
            break
    if total + (named - plain) * longest > MOST_TEXT:
        raise Invalid(TOO_MUCH)


def lengths_of_records(stream: bytes) -> list[int]:
    """How long each shared text of a legacy workbook is, read over the records on which the table goes on.

    Raises:
        struct.error, IndexError: the table is damaged.
    """
    at = 0
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<2H", stream, at)
        if kind == SST and size >= _TABLE_HEAD:
            return list(_Table(_pieces(stream, at)).lengths())
        at += 4 + size
    return []


def _pieces(stream: bytes, at: int) -> Iterator[bytes]:
    wanted = SST
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<2H", stream, at)
        if kind != wanted:
            return
        yield stream[at + 4 : at + 4 + size]
        at, wanted = at + 4 + size, _CONTINUE


class _Table:
    """The shared texts of a legacy workbook; a text may go on in the next record, which then says its width anew."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = next(pieces)
        self._at = _TABLE_HEAD
        self._count: int = struct.unpack_from("<I", self._piece, 4)[0]

    def lengths(self) -> Iterator[int]:
        for _ in range(self._count):
            if self._at >= len(self._piece) and not self._next():
                return
            yield self._one()

    def _one(self) -> int:
        length: int
        flags: int
        length, flags = struct.unpack_from("<HB", self._piece, self._at)
        self._at += 3
        runs = more = 0
        if flags & 8:
            (runs,) = struct.unpack_from("<H", self._piece, self._at)
            self._at += 2
        if flags & 4:
            (more,) = struct.unpack_from("<I", self._piece, self._at)
            self._at += 4
        left = length
        while True:
            width = 2 if flags & 1 else 1
            here = min(left, (len(self._piece) - self._at) // width)
            left -= here
            self._at += here * width
            if not left or not self._next():
                break
            flags = self._piece[0]
            self._at = 1
        self._skip(4 * runs + more)
        return length

    def _skip(self, size: int) -> None:
        while size > len(self._piece) - self._at:
            size -= len(self._piece) - self._at
            if not self._next():
                return
        self._at += size

    def _next(self) -> bool:
        self._piece, self._at = next(self._pieces, b""), 0
        return bool(self._piece)
