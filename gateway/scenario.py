"""Faults on demand: what a scenario file or a seed asks for, as plain data. Nothing here happens; see gateway/faults.py.

A scenario is a TOML file of ``[[fault]]`` tables, or a seed that draws such a list, the same one every time. Times are
the exchange's. Lengths named ``for`` count exchange time; those named ``wall`` count the seconds of whoever is
connected, since a client's time-outs are its own and a market that waits for it must not wait for itself.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.fault_kinds import DEFAULTS, FARMS, KEYS, SHAPES, Fault, Kind, fault_line, quoted, said_of
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import NS_PER_S

FAULTS_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """Faults in the order of their file, the seed of what is random in them, and where they are from."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0
    source: str = ""

    @classmethod
    def read(cls, file: Path) -> Scenario:
        """A scenario from a file. Raises ConfigError."""
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigError(f"{file}: the scenario cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{file}: is not UTF-8 text") from None
        return cls.parse(text, str(file))

    @classmethod
    def parse(cls, text: str, source: str) -> Scenario:
        """A scenario from the text of a TOML file that is called ``source``. Raises ConfigError, one clear line."""
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(_located(source, str(error))) from None
        for name in content:
            if name not in ("seed", "fault"):
                hint = did_you_mean(name, ("seed", "fault"))
                raise ConfigError(f"{source}:{_line_of(text, 0, name)}: unknown key {quoted(name)}{hint}")
        tables, seed = content.get("fault", []), content.get("seed", 0)
        if not (isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**63):
            raise ConfigError(f"{source}:{_line_of(text, 0, 'seed')}: seed: a whole number from 0 is needed")
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise ConfigError(f"{source}:{_line_of(text, 0, 'fault')}: fault: begin each fault with a line [[fault]]")
        if len(tables) > FAULTS_MOST:
            raise ConfigError(f"{source}: {len(tables):,} faults; at most {FAULTS_MOST:,} can be given")
        faults = []
        for number, table in enumerate(tables, 1):
            try:
                faults.append(_fault(table))
            except _KeyError as problem:
                raise ConfigError(f"{source}:{_line_of(text, number, problem.key)}: {problem}") from None
        return cls(tuple(faults), seed, source)

    @classmethod
    def from_seed(cls, seed: int, start: int, end: int, sessions: Sequence[tuple[int, int]] = ()) -> Scenario:
        """The schedule that a seed draws for a market from ``start`` to ``end`` (UTC ns): always the same one.

        Where ``sessions`` (open, close) are given, things happen inside them.
        """
        spans = [(max(a, start), min(b, end)) for a, b in sessions if max(a, start) < min(b, end)] or [(start, end)]
        rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
        faults = [each for draw in _DRAWS for each in draw.faults(rng, start, spans)]
        return cls(tuple(faults), seed, f"--seed {seed}")

    @property
    def rerun(self) -> str:
        """The option or options that make the same scenario again."""
        return self.source if self.source.startswith("--seed") else f"--scenario {self.source} --seed {self.seed}"

    def as_toml(self) -> str:
        """The scenario as a file, which ``parse`` reads back as the same."""
        lines = [f"seed = {self.seed}"]
        for fault in self.faults:
            lines += ["", "[[fault]]", f'kind = "{fault.kind}"']
            lines += [f"{name} = {value}" for name, value in said_of(fault).items()]
        return "\n".join(lines) + "\n"

    def lines(self) -> list[str]:
        """One line a fault, for people."""
        return [fault_line(each) for each in self.faults]


# -- reading -------------------------------------------------------------------------------------------------------


class _KeyError(ValueError):
    """What is wrong with a fault, and at which of its keys (empty: the fault as a whole)."""

    def __init__(self, key: str, what: str) -> None:
        self.key = key
        super().__init__(what)


def _fault(table: Mapping[str, object]) -> Fault:
    if "kind" not in table:
        raise _KeyError("", f"a fault needs its kind; known: {', '.join(Kind)}")
    try:
        kind = Kind(str(table["kind"]))
    except ValueError:
        hint = did_you_mean(str(table["kind"]), Kind)
        raise _KeyError("kind", f'no fault "{table["kind"]}"{hint}') from None
    shape = SHAPES[kind]
    values = dict(DEFAULTS[kind])
    for name, value in table.items():
        if name == "kind":
            continue
        if name not in shape.takes:
            raise _KeyError(name, f'{kind} has no "{name}"{did_you_mean(name, shape.takes)}')
        try:
            values[KEYS[name].field] = KEYS[name].read(value)
        except ValueError as error:
            raise _KeyError(name, f"{kind} {name}: {error}") from None
    for names in shape.needs:
        if not any(name in table for name in names):
            raise _KeyError("", f"{kind} needs {' or '.join(names)}")
    if "at" in table and "after" in table:
        raise _KeyError("after", f"{kind} has both at and after; keep one")
    if kind is Kind.FARM and values["code"] not in FARMS:
        raise _KeyError("code", f"{kind} code: one of {', '.join(map(str, FARMS))} is needed")
    return Fault(kind, **values)  # type: ignore[arg-type]  # each was read by the reader of its field


def _line_of(text: str, table: int, key: str) -> int:
    """Number of the line with ``key`` in the ``table``-th [[fault]] (0: before the first); else where that begins."""
    begins, at = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[\[\s*fault\s*\]\]", line):
            at += 1
            if at == table:
                begins = number
        elif at == table and key and re.match(rf"""\s*\[?["']?{re.escape(key)}["']?\s*[=.\]]""", line):
            return number
    return begins


def _located(source: str, message: str) -> str:
    """``source:line:column: what`` of a message of the TOML parser."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message)
    return f"{source}:{match[2]}:{match[3]}: {match[1]}" if match else f"{source}: {message}"


# -- drawing -------------------------------------------------------------------------------------------------------

Rng = random.Random


@dataclass(frozen=True, slots=True)
class _Draw:
    """How a seed draws faults of one kind: from ``least`` to ``most`` of them, each one of ``variants``.

    Only ``Random.random`` is used: of all its methods Python promises equal numbers for equal seeds for this one.
    """

    kind: Kind
    least: int
    most: int
    variants: tuple[Mapping[str, object], ...] = ({},)
    is_timed: bool = False
    nth_most: int = 1

    def faults(self, rng: Rng, start: int, spans: Sequence[tuple[int, int]]) -> list[Fault]:
        """Some faults at times inside ``spans``, in order."""
        found = []
        for _ in range(self.least + _below(rng, self.most - self.least + 1)):
            values = dict(DEFAULTS[self.kind])
            values |= self.variants[_below(rng, len(self.variants))]
            if self.is_timed:
                values["after_ns"] = _time_in(rng, spans) - start
            if self.nth_most > 1:
                values["nth"] = 1 + _below(rng, self.nth_most)
            found.append(Fault(self.kind, **values))  # type: ignore[arg-type]  # as the table below has them
        return sorted(found, key=lambda each: (each.after_ns or 0, each.nth))


def _below(rng: Rng, bound: int) -> int:
    return int(rng.random() * bound)


def _time_in(rng: Rng, spans: Sequence[tuple[int, int]]) -> int:
    """A time inside the spans, all of them equally likely, in whole seconds where they are longer than one."""
    left = int(rng.random() * sum(end - begin for begin, end in spans))
    for begin, end in spans:
        if left < end - begin:
            return begin + left // NS_PER_S * NS_PER_S
        left -= end - begin
    return spans[-1][1]


_S = NS_PER_S
_DRAWS: tuple[_Draw, ...] = (
    _Draw(Kind.DISCONNECT, 1, 2, is_timed=True),
    _Draw(Kind.DISCONNECT, 0, 1, ({"message": "execution"}, {"message": "open-order"}), nth_most=5),
    _Draw(Kind.HALF_OPEN, 0, 1, ({"wall_s": 20.0},), is_timed=True),
    _Draw(Kind.RESTART, 0, 1, ({"wall_s": 3.0}, {"wall_s": 10.0}), is_timed=True),
    _Draw(Kind.CONNECTIVITY, 1, 2, tuple({"for_ns": s * _S, "data_lost": x} for s in (5, 60) for x in (True, False)),
          is_timed=True),
    _Draw(Kind.FARM, 1, 3, tuple({"code": code, "for_ns": 20 * _S} for code in FARMS), is_timed=True),
    _Draw(Kind.CLIENT_ID_BUSY, 0, 1, ({"count": 1}, {"count": 3}), is_timed=True),
    _Draw(Kind.DELAY, 1, 3, ({"message": "commission", "for_ns": 5 * _S}, {"message": "order-status", "for_ns": 2 * _S},
                             {"message": "execution", "for_ns": 2 * _S}), nth_most=8),
    _Draw(Kind.REORDER, 1, 3, ({"message": "execution", "behind": "order-status"},
                               {"message": "open-order", "behind": "execution"},
                               {"message": "execution", "behind": "commission"}), nth_most=6),
    _Draw(Kind.DUPLICATE, 1, 3, ({"message": "order-status"}, {"message": "execution"}, {"message": "commission"}),
          nth_most=8),
    _Draw(Kind.DROP, 0, 2, ({"message": "order-status"},), nth_most=12),
    _Draw(Kind.STALL, 0, 1, ({"message": "historical-data"}, {"message": "scanner-data"}), nth_most=2),
    _Draw(Kind.DRIP, 0, 1, ({"message": "open-order"},), nth_most=4),
    _Draw(Kind.FULL_READ, 1, 2, ({"message": "execution"}, {"message": "order-status"}, {"message": "next-valid-id"}),
          nth_most=3),
    _Draw(Kind.GARBAGE, 0, 1, is_timed=True),
    _Draw(Kind.IDS_BACK, 0, 1, ({"nth": 2},)),
    _Draw(Kind.REJECT, 0, 2, nth_most=10),
    _Draw(Kind.PARTIAL, 1, 3, ({"parts": 2}, {"parts": 3}, {"parts": 7}), nth_most=8),
    _Draw(Kind.LATE_FILL, 0, 2, nth_most=4),
    _Draw(Kind.CORRECT, 0, 1, ({"by": -0.01}, {"by": 0.02}), nth_most=6),
    _Draw(Kind.BUST, 0, 1, nth_most=10),
)  # fmt: skip
"""What a seed may draw. Messages that carry fills may come late, twice or out of order, but are not lost."""


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """The same faults with another seed of what is random in them."""
    return replace(scenario, seed=seed)
