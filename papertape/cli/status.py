"""``papertape status``: the runs that trade now, and those that crashed."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from papertape.live.control import Seen
    from papertape.live.status import LiveStatus

SILENT_S = 5.0
"""A run that lives writes its status each second; older than this it is said to be silent."""


def status(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One of them, with all there is to know of it.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended in order, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    folder: Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")] = "runs",
) -> int:
    """Show the runs that trade: connection, positions, P&L and how far the guard is away.

    A run that ended without saying so is shown too, with how to go on with it.
    """
    from papertape.cli.live_runs import chosen_runs
    from papertape.cli.text import emit
    from papertape.live.control import seen_runs

    place = Path(folder)
    seen = seen_runs(place)
    if run is not None:
        shown = chosen_runs([run], seen, place)
    else:
        shown = [each for each in seen if everything or each.is_alive or each.is_crashed]
    now = time.time_ns()
    if as_json:
        emit(json.dumps([_as_plain(each, now) for each in shown], indent=2, allow_nan=False))
    elif not shown:
        emit(f"no run trades in {place.resolve()}")
    else:
        lines = [line for each in shown for line in _lines(each, now, in_full=run is not None)]
        emit("\n".join(lines))
    return 0


def _state(run: Seen, now: int) -> str:
    """One word for how a run is."""
    if not run.is_alive:
        return "crashed" if run.is_crashed else "ended"
    return "silent" if run.status is None or _age_s(run.status, now) > SILENT_S else run.status.state


def _age_s(status: LiveStatus, now: int) -> float:
    return (now - status.ts) / 1e9


def _as_plain(run: Seen, now: int) -> dict[str, Any]:
    from papertape.live.status import plain

    return {
        "run": run.name,
        "folder": str(run.folder),
        "state": _state(run, now),
        "is_alive": run.is_alive,
        "pid": None if run.life is None else run.life.pid,
        "host": None if run.life is None else run.life.host,
        "age_s": None if run.status is None else round(_age_s(run.status, now), 3),
        "resume": f"--resume {run.name}" if run.is_crashed else None,
        "damage": run.damage or None,
        "status": None if run.status is None else plain(run.status),
    }


def _lines(run: Seen, now: int, *, in_full: bool) -> list[str]:
    """A run: its name and state, then what its last status says."""
    from papertape.cli.text import clean, heading, warn
    from papertape.live.screen_lines import span

    state = _state(run, now)
    shown = warn(state) if state in ("crashed", "silent", "halted") else state
    lines = [f"{heading(clean(run.name))}  {shown}"]
    if run.damage:
        lines.append(f"  {warn('damaged:')} {clean(run.damage)}")
    if run.status is not None:
        lines += _known_lines(run.status, now, in_full=in_full)
        if state in ("silent", "crashed"):
            lines.append(f"  as it was {span(_age_s(run.status, now))} ago")
    elif run.is_alive:
        lines.append("  it has not written its status yet")
    if state == "silent" and run.life is not None:
        lines.append(f"  process {run.life.pid} on {clean(run.life.host)} lives, but says nothing")
    if run.is_crashed:
        lines.append(f"  it ended without saying so; its orders may still work: go on with --resume {clean(run.name)}")
    return lines


def _known_lines(status: LiveStatus, now: int, *, in_full: bool) -> list[str]:
    from papertape.cli.text import clean
    from papertape.live.screen_lines import money, price, quantity, screen_lines

    if in_full:
        return ["  " + line.plain for line in screen_lines(status, 98, 60)]
    worth = f"net liquidation {money(status.net_liquidation)}"
    worth += f", {len(status.orders):,} working, {status.fills_heard:,} fills"
    lines = [
        f"  {status.mode}, account {clean(status.account)}, {clean(status.gateway)}, link {clean(status.link)}",
        f"  P&L {money(status.pnl, signed=True)} {status.currency}, {worth}",
    ]
    held = [each for each in status.positions if each.is_own]
    names = [f"{quantity(each.quantity)} {clean(each.symbol)} at {price(each.mark)}" for each in held]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    lines.append(f"  holds {', '.join(names[:6]) or 'nothing'}{more}")
    limits = [each for each in status.limits if math.isfinite(each.headroom)]
    if status.guard:
        lines.append(f"  GUARD TRIPPED: {clean(status.guard)}")
    elif limits:
        least = min(limits, key=lambda each: each.headroom)
        lines.append(f"  guard: {least.headroom:.0%} left of {clean(least.name)}")
    if status.halt:
        lines.append(f"  HALTED: {clean(status.halt)}")
    if status.blocking:
        lines.append(f"  BLOCKED: {clean(status.blocking)} does not return")
    return lines
