"""Which runs to list, in which order, and how they look."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from backtests.definitions import DEFINITION_OF, Better
from papertape.cli.text import WIDTH, clean, table
from papertape.core.errors import ConfigError, did_you_mean
from papertape.shelf import Kept
from papertape.store import plain

_SHOWN = ("total_return", "max_drawdown", "sharpe", "trades")
_TITLES = {"total_return": "return", "max_drawdown": "drawdown"}
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_MARKS = {"*": "starred", "S": "synthetic tape", "T": "guard tripped"}
DAMAGED = "DAMAGED"
NAME_SHOWN = 16
"""Characters of a strategy's name, and of a metric's title, that the list shows at most."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What runs must be to be listed; None asks for nothing. ``since`` is when they were written at the earliest."""

    strategy: str | None = None
    mode: str | None = None
    symbol: str | None = None
    since: dt.datetime | None = None
    text: str | None = None
    starred: bool = False

    def admits(self, run: Kept) -> bool:
        """Whether a run is such a one; a damaged run only where its name alone can say so."""
        manifest = run.manifest
        name = run.path.name.lower()
        strategy = str(manifest["strategy"]).lower() if manifest else name
        return (
            (self.strategy is None or _same_name(self.strategy, strategy, is_sound=bool(manifest)))
            and (self.mode is None or (manifest["mode"] == self.mode if manifest else f"-{self.mode}-" in name))
            and (self.symbol is None or self.symbol.upper() in {each.upper() for each in run.symbols})
            and (self.since is None or (run.written is not None and run.written >= self.since))
            and (self.text is None or self.text.lower() in _all_text(run))
            and (not self.starred or run.is_starred)
        )


def _same_name(asked: str, name: str, *, is_sound: bool) -> bool:
    """Whether a strategy has the name, written as its class or as its file: tick_momentum is TickMomentum."""
    asked = asked.lower().replace("_", "")
    return asked == name.replace("_", "") if is_sound else asked in name.replace("_", "")


def _all_text(run: Kept) -> str:
    settings = json.dumps(run.manifest.get("settings", {}), ensure_ascii=False)
    return f"{run.path.name} {run.manifest.get('strategy', '')} {settings}".lower()


def since_time(text: str | None, now: dt.datetime | None = None) -> dt.datetime | None:
    """The time that ``2026-01-31``, ``2026-01-31T09:30`` (UTC where no zone is given), ``12h``, ``7d`` or ``2w`` mean.

    ``now`` is what the latter count from, the present if None. Raises ConfigError.
    """
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if ago is not None:
        return (now or dt.datetime.now(dt.UTC)) - dt.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        when = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f'--since "{text}": a date as 2026-01-31, or 12h, 7d or 2w ago is needed') from None
    return when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)


def check_sort(metric: str | None) -> None:
    """Raise ConfigError where there is no such metric."""
    if metric is not None and metric not in DEFINITION_OF:
        raise ConfigError(f'--sort "{metric}" is no metric{did_you_mean(metric, DEFINITION_OF)}')


def selected(runs: Iterable[Kept], wanted: Filter) -> list[Kept]:
    """The runs that the filter admits."""
    return [run for run in runs if wanted.admits(run)]


def sorted_runs(runs: Sequence[Kept], metric: str | None) -> list[Kept]:
    """Runs with the best by a metric first, those that have none last; as they are without a metric."""
    if metric is None:
        return list(runs)
    sign = 1.0 if DEFINITION_OF[metric].better is Better.LOWER else -1.0

    def key(run: Kept) -> tuple[bool, float]:
        value = run.metrics.get(metric)
        return value is None, 0.0 if value is None else sign * value

    return sorted(runs, key=key)


def as_plain(run: Kept) -> dict[str, Any]:
    """A run as one JSON-able object."""
    written = run.written
    head = {
        "run": run.path.name,
        "written": None if written is None else f"{written:%Y-%m-%dT%H:%M:%SZ}",
        "starred": run.is_starred,
        "damage": run.damage or None,
    }
    if run.damage:
        return head
    manifest, metrics = run.manifest, run.metrics
    filled = (metrics.get("orders_filled"), metrics.get("orders_partly_filled"))
    body = {
        **{name: manifest[name] for name in ("strategy", "mode", "synthetic", "guard_tripped", "currency")},
        "parameters": manifest["settings"].get("parameters") or {},
        "symbols": sorted(run.symbols),
        **{name: manifest[name] for name in ("starting_equity", "final_equity")},
        "total_return": metrics.get("total_return"),
        "max_drawdown": metrics.get("max_drawdown"),
        "orders_filled": int(sum(each or 0.0 for each in filled)),
        "metrics": metrics,
    }
    result: dict[str, Any] = plain({**head, **body})
    return result


def list_lines(runs: Sequence[Kept], metric: str | None, *, of: int) -> list[str]:
    """The table of runs and what its marks mean; ``of`` is how many the folder holds.

    Metrics are left out from the right as long as a line is too long for a terminal, but not the one sorted by.
    """
    keys = [key for key in _SHOWN if key in ("total_return", metric) or _is_known(key, runs)]
    if metric is not None and metric not in keys:
        keys.insert(1, metric)
    lines = _table(runs, keys)
    while max(map(len, lines[1:])) > WIDTH and len(keys) > 1:
        keys.remove([key for key in keys if key != metric][-1])
        lines = _table(runs, keys)
    used = {mark for run in runs for mark in _marks(run)}
    legend = ", ".join(f"{mark} {meaning}" for mark, meaning in _MARKS.items() if mark in used)
    count = "" if len(runs) == of else f"{len(runs):,} of {of:,} runs"
    return lines + ["; ".join(filter(None, (count, legend)))] * bool(count or legend)


def _is_known(key: str, runs: Iterable[Kept]) -> bool:
    return any(run.metrics.get(key) is not None for run in runs)


def _marks(run: Kept) -> str:
    manifest = run.manifest
    holds = (run.is_starred, bool(manifest.get("synthetic")), bool(manifest.get("guard_tripped")))
    return "".join(mark for mark, is_so in zip(_MARKS, holds, strict=True) if is_so)


def _table(runs: Sequence[Kept], keys: Sequence[str]) -> list[str]:
    is_mixed = len({run.manifest["mode"] for run in runs if run.manifest}) > 1
    texts = ["", "written (UTC)", "id", "strategy", *(["mode"] if is_mixed else [])]
    titles = (_cut(_TITLES.get(key, DEFINITION_OF[key].title.lower())) for key in keys)
    return table([*texts, *titles], [_row(run, keys, with_mode=is_mixed) for run in runs], left=texts)


def _cut(text: str) -> str:
    return text if len(text) <= NAME_SHOWN else f"{text[: NAME_SHOWN - 3]}..."


def _row(run: Kept, keys: Sequence[str], *, with_mode: bool) -> list[str]:
    written, manifest = run.written, run.manifest
    name = clean(manifest["strategy"]) if manifest else DAMAGED
    return [
        _marks(run),
        *((f"{written:%Y-%m-%d %H:%M}", run.path.name[-6:]) if written else ("", run.path.name)),
        _cut(name),
        *([str(manifest.get("mode", ""))] if with_mode else []),
        *(DEFINITION_OF[key].show(run.metrics.get(key)) for key in keys),
    ]
