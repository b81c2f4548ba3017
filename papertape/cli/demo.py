"""``papertape demo``: both reference strategies on a generated sample, then one of them on paper, and both held together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backtests.compare.comparison import Comparison
    from papertape.cli.backtest import Job
    from papertape.core.series import Tape
    from papertape.runs import Run

SAMPLE = "sample"
SYMBOLS, DAYS, SEED = 50, 5, 7
_COMMANDS = ("tick_momentum", "top_movers")
PAPER_END = "2024-06-03T16:00"
"""The close of the sample's first day."""
PAPER_PARAMETERS: Mapping[str, float] = {"up": 0.0005, "down": 0.0005}
"""Jumps so small that a day of the sample gives more than a thousand orders on both sides."""
ORDERS_MIN = 100
"""Fewer would prove little."""
DIFFERENT = 1
"""Exit status where the paper session is not what the backtest was."""


def demo() -> int:
    """Backtest both reference strategies on a sample, then play one on paper and compare.

    The sample is generated in ./sample where it is missing. The paper session trades the first day of it, some minute
    long, on a simulated TWS that plays the same tape; the exit status is 1 where it is not the same as its backtest,
    order by order.
    """
    from feeds.tape_writer import MANIFEST
    from papertape.cli.backtest import load, make_strategy, prepare, run_one, show_run
    from papertape.cli.sample import make_sample, sample_lines
    from papertape.cli.strategy_source import load_strategy
    from papertape.cli.text import emit, heading
    from papertape.config import BacktestConfig

    if not (Path(SAMPLE) / MANIFEST).is_file():
        emit("\n".join(sample_lines(make_sample(Path(SAMPLE), SYMBOLS, DAYS, SEED))[:-2]) + "\n")
    tape = None
    for name in _COMMANDS:
        command = f"papertape backtest {name} --data {SAMPLE}"
        emit(f"{heading('$')} {command}\n")
        job = prepare(BacktestConfig(strategy=name, data=[SAMPLE]))
        tape = tape or load(job)
        show_run(run_one(job, make_strategy(load_strategy(name), {}), tape, to_stderr=False), as_json=False)
        emit("")
    assert tape is not None, "there is a command"
    status = _same_on_paper(tape)
    emit(
        f"\n{heading('What to do next')}\n"
        "  papertape show last --fills              every fill of the last run\n"
        "  papertape strategies                     strategies and what they let you set\n"
        f"  papertape backtest tick_momentum --data {SAMPLE} --grid up=0.03,0.04,0.05\n"
        f"  papertape paper tick_momentum --data {SAMPLE} --speed 60   watch it trade, a minute a second\n"
        "  papertape init my_project                a strategy of your own, to begin with"
    )
    return status


def _same_on_paper(tape: Tape) -> int:
    """The backtest of a day, the paper session of the same day, and what differs; the exit status."""
    from backtests.compare.opening import compare
    from papertape.cli.backtest import make_strategy, prepare, run_one
    from papertape.cli.comparison_text import comparison_lines
    from papertape.cli.strategy_source import load_strategy
    from papertape.cli.text import emit, heading
    from papertape.config import BacktestConfig

    name = _COMMANDS[0]
    given = " ".join(f"--set {key}={value}" for key, value in PAPER_PARAMETERS.items())
    options = f"{name} --data {SAMPLE} --end {PAPER_END} {given}"
    job = prepare(BacktestConfig(strategy=name, data=[SAMPLE], end=PAPER_END, parameters=dict(PAPER_PARAMETERS)))
    emit(f"{heading('$')} papertape backtest {options}")
    strategy = make_strategy(load_strategy(name), job.parameters)
    backtested = run_one(job, strategy, tape, to_stderr=False)
    emit(_line(backtested))
    emit(f"{heading('$')} papertape paper {options}")
    emit(
        "  the same file, through IB's API client, a simulated TWS on a socket, the guard and a journal on disk; a minute"
    )
    traded = _on_paper(job, tape)
    emit(_line(traded))
    names = [run.path.name for run in (backtested, traded) if run.path is not None]
    emit(f"{heading('$')} papertape compare {' '.join(names)}\n")
    comparison = compare(backtested, traded)
    emit("\n".join(comparison_lines(comparison)))
    return _verdict(comparison)


def _line(run: Run) -> str:
    record = run.record
    counts = f"{len(record.orders['number']):,} orders, {len(record.fills['ts']):,} fills"
    profit = record.final_equity - record.starting_equity
    return f"  {counts}, net profit {profit:+,.2f} {record.currency}\n"


def _on_paper(job: Job, tape: Tape) -> Run:
    """The paper session, with nobody who watches it but a bar."""
    from backtests.run import prepared
    from papertape.cli.backtest import make_strategy
    from papertape.cli.progress import Bar
    from papertape.cli.strategy_source import load_strategy
    from papertape.live.settings import LiveSettings
    from papertape.live.simulated import paper_run, paper_settings, serve_tape
    from papertape.runs import open_run

    simulated, _ = prepared(job.guard, job.options)
    settings = paper_settings(LiveSettings())
    strategy = make_strategy(load_strategy(job.strategy), job.parameters)
    with (
        serve_tape(tape, simulated, settings, allow_short=strategy.allow_short) as gateway,
        Bar(type(strategy).__name__, "events") as bar,
    ):
        run = paper_run(strategy, tape, gateway, settings, simulated, out=Path(job.out))
        first, length = gateway.first_ts, max(gateway.last_ts - gateway.first_ts, 1)
        run.engine.look = lambda: bar.show((run.parts.clock.now() - first) / length, run.parts.side.events)
        run.run()
    return open_run(run.folder)


def _verdict(comparison: Comparison) -> int:
    """Say whether the paper session was the backtest; the exit status."""
    from papertape.cli.text import emit, warn

    parity = comparison.parity
    if parity is not None and parity.is_same and parity.orders >= ORDERS_MIN:
        return 0
    counted = "nothing" if parity is None else f"{parity.orders} orders, differences: {len(parity.differences)}"
    emit(f"\n{warn('the paper session is not what its backtest was')}: {counted}; please tell us", to_stderr=True)
    return DIFFERENT
