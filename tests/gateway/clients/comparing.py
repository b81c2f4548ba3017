"""Compares what two clients heard: every callback with every value, but for what their versions are known to differ in."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.gateway.clients.recording import Callback, Head

EMPTY: tuple[Any, ...] = (None, "", [], {})

Rule = Callable[[Head], bool]


def below(version: int) -> Rule:
    """Recordings at a server version below this one."""
    return lambda head: head.server_version < version


def of(*clients: str) -> Rule:
    """Recordings of these clients: words that their release contains."""
    return lambda head: any(each in head.release for each in clients)


Same = Callable[[Any, Any], bool]
"""Whether the value of a recording that has a field and that of one which ``lacks`` it mean the same."""


@dataclass(frozen=True)
class Difference:
    """A field that the recordings for which ``lacks`` holds do not have, or have in another form, and why.

    ``field`` is the argument's place and then the names of fields within it, such as ``"2.submitter"``, where ``*``
    stands for anything. It is excused in a comparison in which exactly one of the two lacks it; where neither does, or
    both do, it must be the same like all else. With ``same`` it is excused only where the two mean the same.
    """

    callback: str
    field: str
    lacks: Rule
    reason: str
    same: Same | None = None

    def excuses(self, callback: str, field: str, has: Any, lacks: Any) -> bool:
        """Whether it explains that the one has this value and the one which lacks the field has that."""
        if self.callback != callback or not fnmatch.fnmatchcase(field, self.field):
            return False
        return self.same is None or self.same(has, lacks)


@dataclass(frozen=True)
class Compared:
    """What a comparison found: what must not be, and which known differences it met."""

    found: tuple[str, ...]
    met: frozenset[Difference]


def compare(
    first: tuple[Head, Sequence[Callback]], second: tuple[Head, Sequence[Callback]], known: Collection[Difference]
) -> Compared:
    """Compare two recordings, callback by callback, for each client id in the order in which it heard them."""
    met: set[Difference] = set()
    found: list[str] = []
    (head, left), (other, right) = first, second
    applying = [(each, each.lacks(head)) for each in known if each.lacks(head) != each.lacks(other)]
    for client in sorted({each.client for each in (*left, *right)}):
        mine, yours = ([each for each in side if each.client == client] for side in (left, right))
        if len(mine) != len(yours):
            found.append(f"client {client} heard {len(mine)} and {len(yours)} callbacks")
        for a, b in itertools.zip_longest(mine, yours):
            if a is None or b is None or (a.at, a.name) != (b.at, b.name):
                found.append(f"client {client}: {_shown(a)} against {_shown(b)}")
                break  # what follows is shifted
            found += _values(a, b, applying, met)
    return Compared(tuple(found), frozenset(met))


def _shown(callback: Callback | None) -> str:
    return "nothing" if callback is None else f"{callback.at} {callback.name}{callback.arguments}"[:400]


def _values(a: Callback, b: Callback, applying: Sequence[tuple[Difference, bool]], met: set[Difference]) -> list[str]:
    """What differs between the arguments of two callbacks of one name; ``applying``: whether the first one lacks it."""
    left, right = _leaves(a.arguments), _leaves(b.arguments)
    found = []
    for field in {**left, **right}:
        mine, yours = left.get(field), right.get(field)
        if mine == yours or (mine in EMPTY and yours in EMPTY):
            continue
        excuses = [
            each
            for each, first_lacks in applying
            if each.excuses(a.name, field, *((yours, mine) if first_lacks else (mine, yours)))
        ]
        met.update(excuses)
        if not excuses:
            found.append(f"client {a.client} at {a.at}: {a.name} {field}: {mine!r} against {yours!r}")
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
