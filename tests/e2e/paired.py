"""A strategy's backtest and its paper run on the simulated gateway, of the same tape, in lockstep over a socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backtests.compare.parity import Parity, parity_of, parity_table
from backtests.engine import run_tape
from backtests.settings import Settings
from gateway.scenario import Scenario
from papertape.core.record import RunRecord
from papertape.core.series import Tape
from papertape.live.settings import AtEnd, LiveSettings, TradesFrom
from papertape.live.simulated import paper_run, paper_settings, serve_tape
from strategies.base import Strategy


@dataclass(frozen=True, slots=True)
class Paired:
    """Both runs, and what differs between them."""

    backtest: RunRecord
    paper: RunRecord
    parity: Parity

    @property
    def shown(self) -> str:
        """The differences as text, for a test that fails."""
        table = parity_table(self.parity)
        lines = [" | ".join(cell.text for cell in row) for row in table.rows[:20]]
        notes = [f"{note.code}: {note.text}" for note in self.paper.notes]
        return "\n".join([table.note, *lines, *notes])


def play_paper(
    strategy: Strategy,
    tape: Tape,
    settings: Settings,
    out: Path,
    *,
    symbols: Sequence[str] = (),
    trades: TradesFrom = TradesFrom.AUTO,
    scenario: Scenario | None = None,
) -> RunRecord:
    """A paper run in lockstep; orders that work at the end stay, as they do in a backtest."""
    live = paper_settings(LiveSettings(guard=settings.guard, trades=trades, at_end=AtEnd.KEEP, seed=settings.seed))
    with serve_tape(tape, settings, live, allow_short=strategy.allow_short, scenario=scenario) as gateway:
        return paper_run(strategy, tape, gateway, live, settings, out=out, symbols=symbols).run()


def play_both(
    make: Callable[[], Strategy],
    tape: Tape,
    settings: Settings,
    out: Path,
    *,
    symbols: Sequence[str] = (),
    trades: TradesFrom = TradesFrom.AUTO,
    scenario: Scenario | None = None,
) -> Paired:
    """Both runs of a strategy, which is made anew for each."""
    backtest = run_tape(make(), tape, settings, symbols=symbols)
    paper = play_paper(make(), tape, settings, out, symbols=symbols, trades=trades, scenario=scenario)
    return Paired(backtest, paper, parity_of(backtest, paper, ("backtest", "paper")))
