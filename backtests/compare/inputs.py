"""What went into a run, as a flat table, and what of it differs between runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from papertape.core.record import RunRecord

UNKNOWN = "unknown"
"""An input that a run does not say: never equal to anything, not even to another unknown."""
ABSENT = "no such parameter"

_NOT_INPUTS = {"parameters", "sources", "fees_text", "start", "end", "rates", "analyzers"}
"""Settings that are told by other inputs: parameters one by one, the data by their fingerprint, fees by their name.

Analyzers of backtrader look on, and change nothing.

Exchange rates are those at the run's end, hence follow from its data and its window.
"""

_OF_THE_STRATEGY = ("code", "parameters.")
"""Inputs that are part of the choice of a strategy: another strategy is one input, not these as well."""

_WHERE_ALL_HAVE_IT = ("live.", "versions.backtrader")
"""Inputs of runs that have a connection, or another engine: a backtest of ours has none, which is no difference beside
that of the modes or the engines."""

LOUD: Mapping[str, str] = {
    "data": "the data differ",
    "engine": "the engines that matched orders differ",
    "window": "the time that was played differs",
    "conflation": "the data are conflated differently",
    "currency": "the base currencies differ: amounts of money are not compared",
    "cash": "the starting cash differs",
    "balances": "the starting cash in other currencies differs",
    "fees": "the fees differ",
    "slippage": "the slippage differs",
    "latency": "the latency differs",
    "request_latency": "the latency of requests differs",
    "limit_fill": "the rule by which limit orders fill differs",
    "volume_share": "the share of the volume that may be filled differs",
    "margin": "the margin differs",
    "risk_free": "the risk-free rate differs",
    "mode": "the modes differ",
    "synthetic": "some runs are of a synthetic tape, others are not",
}
"""Inputs that make two results hard to hold against each other -> what is said, in the order in which it is said."""


@dataclass(frozen=True, slots=True)
class InputDifference:
    """An input that is not the same in all runs: its dotted key, and its value in each run, None where it has none."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LoudNote:
    """A difference that must be seen. ``runs`` are the numbers of the runs in which it is not as in the base."""

    key: str
    text: str
    values: tuple[Any, ...]
    runs: tuple[int, ...]


def inputs_of(record: RunRecord) -> dict[str, Any]:
    """Everything that could make a run come out differently, by dotted key; plain values.

    Parameters are ``parameters.NAME``, settings have their names (``guard.max_drawdown``), the rest is ``strategy``,
    ``code`` (hash of the source), ``data`` (fingerprint), ``window`` (first and last ns), ``conflation``, ``mode``,
    ``currency``, ``synthetic`` and ``versions.PACKAGE``. What a run does not know of itself is ``UNKNOWN``.
    """
    settings = record.settings
    conflated = [note.text for note in record.notes if note.code == "conflated"]
    found: dict[str, Any] = {
        "strategy": record.strategy,
        "mode": str(record.mode),
        "code": record.code_hash or UNKNOWN,
        "data": record.fingerprint or UNKNOWN,
        "window": (record.start, record.end),
        "conflation": conflated[0] if conflated else None,
        "synthetic": record.synthetic,
        "engine": settings.get("engine", "papertape"),
        "currency": record.currency,
        "cash": record.starting_equity,
    }
    found.update(_flat("parameters.", settings.get("parameters") or {}))
    found.update(_flat("", {name: value for name, value in settings.items() if name not in _NOT_INPUTS}))
    found.update(_flat("versions.", record.versions))
    return found


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{name}.", value)
        elif not isinstance(value, Mapping):
            yield prefix + str(name), tuple(value) if isinstance(value, list) else value


def is_same(a: Any, b: Any) -> bool:
    """Whether two values of an input are known to be equal; 1 and 1.0 are."""
    return UNKNOWN not in (a, b) and bool(a == b)


def input_differences(inputs: Sequence[Mapping[str, Any]]) -> tuple[InputDifference, ...]:
    """The inputs that are not known to be the same in all runs, in the order in which the runs name them."""
    keys: dict[str, None] = {}
    for each in inputs:
        keys.update(dict.fromkeys(each))
    found = []
    for key in keys:
        if key.startswith(_WHERE_ALL_HAVE_IT) and not all(key in each for each in inputs):
            continue
        missing = ABSENT if key.startswith("parameters.") else None  # a setting that an older run lacks was not made
        values = tuple(each.get(key, missing) for each in inputs)
        if not all(is_same(values[0], value) for value in values[1:]):
            found.append(InputDifference(key, values))
    return tuple(found)


def differing_inputs(base: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of the inputs in which two runs are not known to be the same; exactly one makes a result attributable.

    Versions of packages count as one, ``versions``. Another strategy counts as one, whatever its code and parameters.
    """
    keys = [each.key for each in input_differences((base, other))]
    if "strategy" in keys:
        keys = [key for key in keys if not key.startswith(_OF_THE_STRATEGY)]
    return tuple(dict.fromkeys("versions" if key.startswith("versions.") else key for key in keys))


def attributable_to(base: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The one input in which two runs differ; None where it is none, more than one, or not known of one of them."""
    keys = differing_inputs(base, other)
    if len(keys) != 1 or UNKNOWN in (base.get(keys[0]), other.get(keys[0])):
        return None
    return keys[0]


def loud_notes(inputs: Sequence[Mapping[str, Any]], base: int) -> tuple[LoudNote, ...]:
    """The differences that must be seen, in the order of ``LOUD``."""
    found = []
    for name, text in LOUD.items():
        keys = [key for key in dict.fromkeys(key for each in inputs for key in each) if _belongs(key, name)]
        values = tuple(tuple(each.get(key) for key in keys) for each in inputs)
        runs = tuple(
            number
            for number, value in enumerate(values)
            if number != base and not all(map(is_same, values[base], value))
        )
        if runs:
            shown = tuple(value[0] if len(keys) == 1 else value for value in values)
            found.append(LoudNote(name, text, shown, runs))
    return tuple(found)


def _belongs(key: str, name: str) -> bool:
    return key == name or key.startswith(name + ".")
