"""``papertape demo``: both reference strategies on a generated sample, from nothing to a result."""

from __future__ import annotations

from pathlib import Path

SAMPLE = "sample"
SYMBOLS, DAYS, SEED = 50, 5, 7
_COMMANDS = ("tick_momentum", "top_movers")


def demo() -> int:
    """Backtest both reference strategies on a sample.

    The sample is generated in ./sample where it is missing.
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
    emit(
        f"{heading('What to do next')}\n"
        "  papertape show last --fills              every fill of the last run\n"
        "  papertape strategies                     strategies and what they let you set\n"
        f"  papertape backtest tick_momentum --data {SAMPLE} --grid up=0.03,0.04,0.05\n"
        "  papertape init my_project                a strategy of your own, to begin with"
    )
    return 0
