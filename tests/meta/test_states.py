"""Every status column has its table of moves; every state can be reached, and none that should be left is a trap."""

from enum import Enum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Enum as EnumColumn
from sqlalchemy import inspect

from payadmin import models
from payadmin.db import Base
from payadmin.kernel.states import Machine

pytestmark = pytest.mark.once

models.load_models()

# States that describe what came in from outside or was chosen freely: nothing moves through them.
NO_MOVES = {
    "client_service.status": "switched freely by administrators",
    "customer.status": "switched both ways by staff",
    "organization.status": "switched both ways by staff",
    "unit.status": "switched both ways by administrators",
}
COPIES = {"payment_event.status": "the payment's status at that moment, written once"}


def status_columns() -> dict[str, type[Enum]]:
    """Every enum column called status or state: `table.column` → its enum."""
    found = {}
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if column.name in {"status", "state"} and isinstance(column.type, EnumColumn):
                assert column.type.enum_class is not None
                found[f"{table.name}.{column.name}"] = column.type.enum_class
    return found


def machines() -> dict[type[Enum], Machine[Any]]:
    """The machines that the models' modules declare, by the enum that they move."""
    found: dict[type[Enum], Machine[Any]] = {}
    for mapper in Base.registry.mappers:
        module = __import__(mapper.class_.__module__, fromlist=["*"])
        for value in vars(module).values():
            if isinstance(value, Machine):
                found[type(value.initial)] = value
    return found


MACHINES = sorted(machines().items(), key=lambda pair: pair[0].__name__)
EVERY_MACHINE = pytest.mark.parametrize(("states", "machine"), MACHINES, ids=[pair[0].__name__ for pair in MACHINES])


def test_every_status_column_has_a_table_of_moves() -> None:
    without = {name for name, states in status_columns().items() if states not in machines()}
    assert without == set(NO_MOVES)
    assert set(COPIES) <= set(status_columns()), "an exception that no longer exists must leave the list"


def test_a_model_with_a_machine_names_it() -> None:
    """`Work.change` reads `Model.machine`; without it a status could be set from anywhere."""
    for mapper in Base.registry.mappers:
        column = mapper.columns.get("status")
        kind = column.type.enum_class if column is not None and isinstance(column.type, EnumColumn) else None
        if kind in machines() and f"{mapper.local_table.name}.status" not in COPIES:
            assert getattr(mapper.class_, "machine", None) is machines()[kind], mapper.class_.__name__


@EVERY_MACHINE
def test_every_state_is_reachable(states: type[StrEnum], machine: Machine[Any]) -> None:
    assert machine.unreachable() == frozenset()


@EVERY_MACHINE
def test_every_state_that_is_not_final_leads_to_an_end_or_goes_round(
    states: type[StrEnum], machine: Machine[Any]
) -> None:
    finals = {state for state in states if machine.is_final(state)}
    for state in states:
        if state in finals:
            continue
        others = machine.moves[state] - {state}
        assert others, f"{state} is a trap: nothing leads out of it"
        if finals:
            assert ends_from(machine, state) & finals, f"nothing that starts at {state} ever ends"


@EVERY_MACHINE
def test_moves_name_only_states_that_exist(states: type[StrEnum], machine: Machine[Any]) -> None:
    named = {machine.initial, *machine.moves, *(state for targets in machine.moves.values() for state in targets)}
    assert named <= set(states)
    for after in states:
        assert all(machine.allows(before, after) for before in machine.sources(after))


@EVERY_MACHINE
@given(choices=st.lists(st.integers(min_value=0, max_value=99), max_size=12))
def test_every_walk_along_allowed_moves_stays_allowed(
    states: type[StrEnum], machine: Machine[Any], choices: list[int]
) -> None:
    state = machine.initial
    for choice in choices:
        if machine.is_final(state):
            assert not any(machine.allows(state, other) for other in states)
            return
        options = sorted(machine.moves[state])
        after = options[choice % len(options)]
        assert state in machine.sources(after)
        state = after


def ends_from(machine: Machine[Any], start: Any) -> set[Any]:
    seen, todo = {start}, [start]
    while todo:
        for target in machine.moves.get(todo.pop(), frozenset()) - seen:
            seen.add(target)
            todo.append(target)
    return seen


def test_every_status_is_guarded_by_the_database_too() -> None:
    for mapper in Base.registry.mappers:
        table: Any = inspect(mapper.class_).local_table
        checks = " ".join(str(constraint.name) for constraint in table.constraints)
        for column in table.columns:
            if isinstance(column.type, EnumColumn):
                assert column.type.create_constraint, f"{table.name}.{column.name} accepts any text"
                assert str(column.type.name) in checks
