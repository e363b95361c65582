"""Arguments as JSON and back: what an act was asked for with, kept until somebody approves it.

Only what a reader can check by eye: numbers, texts, days, moments, members of payadmin's own enums, its own small
records, lists and sets of those. Nothing is imported that is not payadmin's, and nothing else is ever made.
"""

import dataclasses
import datetime as dt
import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

_OURS = "payadmin."


def encode(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an act as JSON-ready values.

    Raises:
        TypeError: a value that has no place in a stored act, such as a float or an open file.
    """
    return {name: _encoded(value) for name, value in arguments.items()}


def decode(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What `encode` was given.

    Raises:
        ValueError: it names something that is not payadmin's or does not exist any more.
    """
    return {name: _decoded(value) for name, value in payload.items()}


def digest(name: str, payload: Mapping[str, Any]) -> str:
    """The fingerprint of an act: its use case and its arguments."""
    text = json.dumps([name, payload], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _encoded(value: Any) -> Any:
    match value:
        case Enum():
            return {"$enum": _place(type(value)), "name": value.name}
        case None | bool() | int() | str():
            return value
        case dt.datetime():
            return {"$moment": value.astimezone(dt.UTC).isoformat()}
        case dt.date():
            return {"$day": value.isoformat()}
        case set() | frozenset():
            return {"$set": sorted((_encoded(item) for item in value), key=json.dumps)}
        case Mapping():
            return {"$map": {str(key): _encoded(item) for key, item in value.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: _encoded(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return {"$record": _place(type(value)), "fields": fields}
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [_encoded(item) for item in value]
    msg = f"{type(value).__name__} cannot be an argument of an act that waits for approval"
    raise TypeError(msg)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    match value:
        case {"$enum": str(place), "name": str(name)}:
            return _class(place, Enum)[name]
        case {"$moment": str(text)}:
            return dt.datetime.fromisoformat(text)
        case {"$day": str(text)}:
            return dt.date.fromisoformat(text)
        case {"$set": list(items)}:
            return frozenset(_decoded(item) for item in items)
        case {"$map": dict(items)}:
            return {key: _decoded(item) for key, item in items.items()}
        case {"$record": str(place), "fields": dict(fields)}:
            return _class(place, object)(**{name: _decoded(item) for name, item in fields.items()})
        case None | bool() | int() | str():
            return value
    msg = "a stored act holds a value that nobody wrote"
    raise ValueError(msg)


def _place(kind: type[Any]) -> str:
    if not kind.__module__.startswith(_OURS):
        msg = f"{kind.__qualname__} is not payadmin's"
        raise TypeError(msg)
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(place: str, base: type[Any]) -> type[Any]:
    module, _, name = place.partition(":")
    found = getattr(importlib.import_module(module), name, None) if module.startswith(_OURS) else None
    is_record = base is object and dataclasses.is_dataclass(found)
    if not isinstance(found, type) or not (is_record or (base is not object and issubclass(found, base))):
        msg = f"a stored act names {place}, which is nothing of payadmin's"
        raise ValueError(msg)
    return found
