"""State machines as data: which moves are allowed, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True)
class Machine(Generic[S]):
    """The table of allowed moves of one enum.

    Args:
        initial: the state a new row has.
        moves: state → the states it may go to; a state with no entry is final.
    """

    initial: S
    moves: Mapping[S, frozenset[S]]

    def allows(self, before: S, after: S) -> bool:
        """Whether a row may go from `before` to `after` (staying where it is is not a move)."""
        return after in self.moves.get(before, frozenset())

    def sources(self, after: S) -> frozenset[S]:
        """Every state from which `after` can be reached in one move."""
        return frozenset(state for state, targets in self.moves.items() if after in targets)

    def is_final(self, state: S) -> bool:
        """Whether no move leads out of `state`."""
        return not self.moves.get(state)

    def unreachable(self) -> frozenset[S]:
        """States that no sequence of moves from `initial` reaches: must be empty (a test says so)."""
        seen, todo = {self.initial}, [self.initial]
        while todo:
            for target in self.moves.get(todo.pop(), frozenset()) - seen:
                seen.add(target)
                todo.append(target)
        return frozenset(type(self.initial)) - seen
