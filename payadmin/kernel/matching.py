"""Matching: which of many rules a set of facts satisfies first, in the time of a few look-ups however many there are.

Every key is a line, cut into cells at the values that rules mention; between two cuts no rule can tell two facts apart.
For each cell one large number says, bit by bit, which rules it satisfies. A decision looks one cell up for each key,
ANDs the numbers and takes the lowest bit. The same cells tell which rules nothing can ever reach: each is covered, cell
by cell, by those before it.

`payadmin.kernel.conditions` says what conditions mean; a test compares the two on random rules.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from payadmin.kernel.conditions import Amount, Condition, Fact, Facts, Key, KeyKind, Operator, Registry, folded
from payadmin.kernel.money import MAX_MINOR

# How many combinations are tried before a rule is taken for reachable: wrong only in that nothing is said.
SEARCHED_MOST: Final = 4_000
COMPARED_MOST: Final = 200
# What is spent on all rules of a version together: a page must not wait for thousands of rules over thousands of words.
CELLS_MOST: Final = 6_000_000
STEPS_MOST: Final = 3_000_000

Range = tuple[int, int]
O = Operator  # noqa: E741 - read in tables


@dataclass(frozen=True)
class Cover:
    """Why nothing reaches a rule.

    Attributes:
        never: the key whose own conditions exclude each other; None when other rules are the reason.
        by: the places of earlier rules that take everything: one that does so alone, or several together.
        alone: whether the first of `by` does so alone.
    """

    never: str | None = None
    by: tuple[int, ...] = ()
    alone: bool = False


@dataclass
class Effort:
    """What is left for asking what covers the rules of a version; where it ends, nothing more is said.

    Attributes:
        cells: how many cells may still be looked at.
        steps: how many combinations may still be tried.
    """

    cells: int = CELLS_MOST
    steps: int = STEPS_MOST


class _Line:
    """The cells of one key.

    Attributes:
        cell: fact → number of its cell.
        cells: how many there are.
        real: which of them a fact can be in.
    """

    cell: Callable[[Any], int]
    cells: int
    real: Sequence[int]

    def ranges(self, condition: Condition) -> list[Range]:
        """The cells in which the condition holds, as ordered ranges."""
        raise NotImplementedError

    def _of(self, operator: Operator, cells: Iterable[int]) -> list[Range]:
        chosen = [(cell, cell + 1) for cell in sorted(set(cells))]
        return chosen if operator in {O.EQUAL, O.IN} else _without(chosen, self.cells)


class _Words(_Line):
    """Choices and texts: a cell for each value, and one for all others."""

    def __init__(self, key: Key, conditions: Iterable[Condition]) -> None:
        mentioned = {folded(str(value)) for condition in conditions for value in _values(condition)}
        known = {folded(value) for value in key.choices}
        self.place = {value: cell for cell, value in enumerate(sorted(mentioned | known))}
        self.cells = len(self.place) + 1
        closed = key.kind is KeyKind.CHOICE
        self.real = [self.place[value] for value in sorted(known)] if closed else range(self.cells)
        other = self.cells - 1
        # Facts mostly arrive as they are spelled in the registry.
        self._exact = {value: self.place[folded(value)] for value in key.choices} | self.place
        exact, place = self._exact, self.place
        self.cell = lambda fact: cell if (cell := exact.get(fact)) is not None else place.get(folded(fact), other)

    def ranges(self, condition: Condition) -> list[Range]:
        return self._of(condition.operator, (self.place[folded(str(value))] for value in _values(condition)))


class _Numbers(_Line):
    """Numbers: a cell for each that is mentioned, and one for each gap between them."""

    def __init__(self, points: Iterable[int], least: int | None = None, most: int | None = None) -> None:
        self.points = sorted(set(points))
        self.cells = 2 * len(self.points) + 1
        self.cell = self._cell
        self.real = [cell for cell in range(self.cells) if cell % 2 or self._gap(cell // 2, least, most)]

    def _cell(self, fact: int) -> int:
        place = bisect_left(self.points, fact)
        return 2 * place + (place < len(self.points) and self.points[place] == fact)

    def _gap(self, place: int, least: int | None, most: int | None) -> bool:
        """Whether a whole number lies before the point at `place`."""
        low = self.points[place - 1] + 1 if place else least
        high = self.points[place] - 1 if place < len(self.points) else most
        return low is None or high is None or low <= high

    def ranges(self, condition: Condition) -> list[Range]:
        places = [bisect_left(self.points, value) for value in _values(condition)]
        return self.between(condition.operator, places)

    def between(self, operator: Operator, places: Sequence[int]) -> list[Range]:
        """The cells for an operator and the places of its values among the points."""
        cell = 2 * places[0] + 1
        match operator:
            case Operator.GREATER_THAN:
                return [(cell + 1, self.cells)]
            case Operator.GREATER_OR_EQUAL_THAN:
                return [(cell, self.cells)]
            case Operator.LESS_THAN:
                return [(0, cell)]
            case Operator.LESS_OR_EQUAL_THAN:
                return [(0, cell + 1)]
        return self._of(operator, (2 * place + 1 for place in places))


class _Amounts(_Line):
    """Amounts: the numbers of one unit after those of another, and a cell for units that nobody mentions."""

    def __init__(self, registry: Registry, key: Key, conditions: Sequence[Condition]) -> None:
        self.key = key
        points: dict[str, list[int]] = {unit: [] for unit in registry.scales}
        for condition in conditions:
            if condition.key == key.name:
                for value in _values(condition):
                    points.setdefault(value.unit, []).append(value.minor)
            else:
                for unit in _values(condition):
                    points.setdefault(unit, [])
        self.blocks: dict[str, tuple[int, _Numbers]] = {}
        self.real = []
        first = 0
        for unit in sorted(points):
            numbers = _Numbers(points[unit], 1, MAX_MINOR)
            self.blocks[unit] = (first, numbers)
            if unit in registry.scales:
                self.real += [first + cell for cell in numbers.real]
            first += numbers.cells
        self.cells = first + 1
        self.cell = self._cell

    def _cell(self, fact: Amount) -> int:
        block = self.blocks.get(fact.unit)
        if block is None:
            return self.cells - 1
        first, numbers = block
        return first + numbers._cell(fact.minor)  # noqa: SLF001 - a part of this line

    def ranges(self, condition: Condition) -> list[Range]:
        if condition.key != self.key.name:
            blocks = [self.blocks[unit] for unit in _values(condition)]
            chosen = sorted((first, first + numbers.cells) for first, numbers in blocks)
            return chosen if condition.operator in {O.EQUAL, O.IN} else _without(chosen, self.cells)
        value = condition.value
        assert isinstance(value, Amount)
        first, numbers = self.blocks[value.unit]
        place = bisect_left(numbers.points, value.minor)
        # Only amounts of the same unit are compared, so “is not” stays within it too.
        return [(first + low, first + high) for low, high in numbers.between(condition.operator, [place])]


class Matcher:
    """Rules made ready: each is a list of conditions that must all hold; the order is theirs.

    Args:
        registry: what the conditions are about; a condition on a key that it lacks is satisfied by nothing.
        rules: the conditions of each rule, in order.
    """

    def __init__(self, registry: Registry, rules: Sequence[Sequence[Condition]]) -> None:
        self.registry = registry
        self.count = len(rules)
        self._all = (1 << len(rules)) - 1
        self._lines: list[tuple[str, _Line, list[int], int]] = []
        self._ranges: list[dict[str, list[Range]]] = [{} for _ in rules]
        by_line: dict[str, list[tuple[int, Condition]]] = {}
        for place, conditions in enumerate(rules):
            for condition in conditions:
                key = registry.keys.get(condition.key)
                if key is None:
                    self._all &= ~(1 << place)
                    continue
                by_line.setdefault(key.unit_of or key.name, []).append((place, condition))
        for name, found in by_line.items():
            line = _line_of(registry, registry.keys[name], [condition for _, condition in found])
            for place, condition in found:
                mine, before = line.ranges(condition), self._ranges[place].get(name)
                self._ranges[place][name] = mine if before is None else _both(before, mine)
            free = self._all
            for place, _condition in found:
                free &= ~(1 << place)
            self._lines.append((name, line, self._sweep(name, line, free), free))
        self._distinct = [sorted({masks[cell] for cell in line.real}) for _, line, masks, _ in self._lines]

    def _sweep(self, name: str, line: _Line, free: int) -> list[int]:
        turns: dict[int, int] = {}
        for place, ranges in enumerate(self._ranges):
            for edges in ranges.get(name, ()):
                for edge in edges:
                    turns[edge] = turns.get(edge, 0) ^ (1 << place)
        masks, mask = [], free
        for cell in range(line.cells):
            mask ^= turns.get(cell, 0)
            masks.append(mask & self._all)
        return masks

    def matches(self, facts: Facts) -> int:
        """The rules whose conditions all hold, as the bits of a number."""
        mask = self._all
        for name, line, masks, free in self._lines:
            fact = facts.get(name)
            mask &= free if fact is None else masks[line.cell(fact)]
            if not mask:
                return 0
        return mask

    def first(self, facts: Facts) -> int | None:
        """The place of the first rule whose conditions all hold, or None."""
        mask = self.matches(facts)
        return (mask & -mask).bit_length() - 1 if mask else None

    def cover(self, place: int, effort: Effort | None = None) -> Cover | None:
        """Why nothing reaches the rule at `place`, or None when something does (or that is too hard to tell).

        Args:
            effort: what may be spent on this rule and those asked about later with the same.
        """
        effort = effort or Effort()
        if not self._all >> place & 1:
            return Cover(never="")
        earlier = self._all & ((1 << place) - 1)
        lines: list[list[int]] = []
        for line in range(len(self._lines)):
            found = self._earlier(place, line, earlier, effort)
            if not found:
                return Cover(never=self._lines[line][0])
            lines.append(sorted(found, key=int.bit_count))
        alone = earlier
        for found_here in lines:
            for mask in found_here:
                alone &= mask
        if alone:
            return Cover(by=((alone & -alone).bit_length() - 1,), alone=True)
        if not earlier or _reachable(earlier, lines, effort):
            return None
        together = earlier
        for found_here in lines:
            union = 0
            for mask in found_here:
                union |= mask
            together &= union
        return Cover(by=tuple(_bits(together)))

    def _earlier(self, place: int, line: int, earlier: int, effort: Effort) -> set[int]:
        """Which of the `earlier` rules hold too, for every cell of a line in which the rule at `place` does."""
        name, cells, masks, free = self._lines[line]
        ranges = self._ranges[place].get(name)
        if ranges is not None:
            effort.cells -= sum(high - low for low, high in ranges)
            if effort.cells <= 0:
                return {0}  # as if nothing earlier held in one of them: the rule counts as reachable
            return {masks[cell] & earlier for cell in _real_within(cells, ranges)}
        if self.registry.keys[name].always:
            effort.cells -= len(self._distinct[line])
            return {mask & earlier for mask in self._distinct[line]}
        return {free & earlier}  # what is not given satisfies least of all


def _reachable(earlier: int, lines: list[list[int]], effort: Effort) -> bool:
    """Whether some choice of one mask from each line leaves no earlier rule; too many choices count as yes."""
    lines = sorted((_smallest(line) for line in lines), key=len)
    left = min(SEARCHED_MOST, effort.steps)

    def search(depth: int, mask: int) -> bool:
        nonlocal left
        left -= 1
        effort.steps -= 1
        if not mask or left <= 0:
            return True
        if depth == len(lines):
            return False
        return any(search(depth + 1, mask & each) for each in lines[depth])

    return search(0, earlier)


def _smallest(line: list[int]) -> list[int]:
    """The masks that contain no other one of the line: where those cover everything, the others do too."""
    if len(line) > COMPARED_MOST:
        return line
    kept: list[int] = []
    for mask in line:  # fewest bits first
        if not any(mask & other == other for other in kept):
            kept.append(mask)
    return kept


def _line_of(registry: Registry, key: Key, conditions: Sequence[Condition]) -> _Line:
    match key.kind:
        case KeyKind.MONEY:
            return _Amounts(registry, key, conditions)
        case KeyKind.NUMBER:
            return _Numbers(value for condition in conditions for value in _values(condition))
    return _Words(key, conditions)


def _values(condition: Condition) -> tuple[Any, ...]:
    value: Fact | tuple[Any, ...] = condition.value
    return value if isinstance(value, tuple) and not isinstance(value, Amount) else (value,)


def _without(chosen: Sequence[Range], end: int) -> list[Range]:
    """Everything but the chosen ranges, which are in order."""
    left, at = [], 0
    for low, high in chosen:
        if at < low:
            left.append((at, low))
        at = max(at, high)
    return [*left, (at, end)] if at < end else left


def _both(one: Sequence[Range], other: Sequence[Range]) -> list[Range]:
    """What two ordered lists of ranges have in common."""
    found, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low < high:
            found.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return found


def _real_within(line: _Line, ranges: Sequence[Range]) -> Iterator[int]:
    real = line.real
    if isinstance(real, range):
        for low, high in ranges:
            yield from range(low, high)
        return
    for low, high in ranges:
        at = bisect_left(real, low)
        while at < len(real) and real[at] < high:
            yield real[at]
            at += 1


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
