"""Compares what two clients heard: every callback with every value, but for what their versions are known to differ in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.gateway.clients.recording import Callback, Head

MOST_LISTED = 12
"""Differences that are listed at most; the first ones say what is wrong."""

EMPTY = (None, "", [], {})

Rule = Callable[[Head], bool]


def below(version: int) -> Rule:
    """Recordings at a server version below this one."""
    return lambda head: head.server_version < version


def of(*clients: str) -> Rule:
    """Recordings of these clients: words that their release contains."""
    return lambda head: any(each in head.release for each in clients)


@dataclass(frozen=True)
class Difference:
    """A field that the recordings for which ``lacks`` holds do not have, or have in another form, and why.

    ``field`` is the argument's place and then the names of fields within it, such as ``"2.submitter"``; empty for the
    callback itself. It is left out of a comparison in which one of the two lacks it; where neither does, or both do,
    it must be the same like all else.
    """

    callback: str
    field: str
    lacks: Rule
    reason: str


@dataclass(frozen=True)
class Compared:
    """What a comparison found: what must not be, and which known differences it met."""

    found: tuple[str, ...]
    met: frozenset[Difference]


def compare(
    first: tuple[Head, Sequence[Callback]], second: tuple[Head, Sequence[Callback]], known: Collection[Difference]
) -> Compared:
    """Compare two recordings, callback by callback, for each client id in the order in which it heard them."""
    heads = first[0], second[0]
    applying = [each for each in known if each.lacks(heads[0]) != each.lacks(heads[1])]
    met: set[Difference] = set()
    left, right = (_without(callbacks, applying) for _, callbacks in (first, second))
    found: list[str] = []
    for client in sorted({each.client for each in (*left, *right)}):
        mine, yours = ([each for each in side if each.client == client] for side in (left, right))
        if len(mine) != len(yours):
            found.append(f"client {client} heard {len(mine)} and {len(yours)} callbacks")
        for a, b in itertools.zip_longest(mine, yours):
            if a is None or b is None or (a.at, a.name) != (b.at, b.name):
                found.append(f"client {client}: {_shown(a)} against {_shown(b)}")
                break  # what follows is shifted
            found += _values(a, b, applying, met)
    return Compared(tuple(found[:MOST_LISTED]), frozenset(met))


def _without(callbacks: Sequence[Callback], applying: Sequence[Difference]) -> list[Callback]:
    """The callbacks but for those that one of the two never gets."""
    gone = {each.callback for each in applying if not each.field}
    return [each for each in callbacks if each.name not in gone]


def _shown(callback: Callback | None) -> str:
    return "nothing" if callback is None else f"{callback.at} {callback.name}{callback.arguments}"[:400]


def _values(a: Callback, b: Callback, applying: Sequence[Difference], met: set[Difference]) -> list[str]:
    """What differs between the arguments of two callbacks of one name."""
    known = {each.field: each for each in applying if each.callback in (a.name, "*")}
    left, right = _leaves(a.arguments), _leaves(b.arguments)
    found = []
    for field in {**left, **right}:
        mine, yours = left.get(field), right.get(field)
        if mine == yours or (mine in EMPTY and yours in EMPTY):
            continue
        excuse = known.get(field)
        if excuse is None:
            found.append(f"client {a.client} at {a.at}: {a.name} {field}: {mine!r} against {yours!r}")
        else:
            met.add(excuse)
    return found


def _leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """The plain values within a value, by the way to them, such as ``1.contract.symbol``."""
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)  # type: ignore[assignment]
    else:
        return {prefix: value}
    found: dict[str, Any] = {}
    for name, each in parts:
        found.update(_leaves(each, f"{prefix}.{name}" if prefix else str(name)))
    return found
