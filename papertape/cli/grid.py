"""``papertape backtest --grid``: every combination of parameters, in processes that share one tape."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from backtests.definitions import DEFINITION_OF, Better
from backtests.report.content import SYNTHETIC
from papertape.cli.backtest import GUARD_TRIPPED, Job, load, make_strategy, run_one
from papertape.cli.progress import Bar
from papertape.cli.shared_tape import attach, share
from papertape.cli.strategy_source import load_strategy
from papertape.cli.text import emit, heading, table, warn
from papertape.core.compiled import will_compile
from papertape.core.errors import ConfigError, UserError, did_you_mean

if TYPE_CHECKING:
    from papertape.core.series import Tape
    from strategies.base import Strategy

COMBINATIONS_MAX = 10_000
_COLUMNS = ("total_return", "net_profit", "max_drawdown", "sharpe", "trades", "fees")


@dataclass(frozen=True, slots=True)
class Row:
    """One run of a grid: its parameters as given, and its summary as ``--json`` prints it."""

    parameters: Mapping[str, Any]
    summary: Mapping[str, Any]


def run_grid(job: Job, strategy_class: type[Strategy], *, as_json: bool) -> int:
    """Run every combination and print the table, best first; returns the exit status."""
    if job.sort is not None and job.sort not in DEFINITION_OF:
        raise ConfigError(f'--sort "{job.sort}" is no metric{did_you_mean(job.sort, DEFINITION_OF)}')
    if job.workers is not None and job.workers < 1:
        raise ConfigError(f"--workers {job.workers}: at least 1 is needed")
    jobs = combinations(job)
    for each in jobs:
        make_strategy(strategy_class, each.parameters)  # a value out of bounds is said before anything runs
    tape = load(job)
    rows = ordered(_run_all(jobs, tape, job.workers or os.cpu_count() or 1), job.sort)
    if as_json:
        emit(json.dumps([{**row.summary, "parameters": row.parameters} for row in rows], indent=2, allow_nan=False))
    else:
        emit("\n".join(grid_lines(rows, list(job.grid), synthetic=tape.synthetic, out=job.out)))
    return GUARD_TRIPPED if any(row.summary["guard"]["tripped"] for row in rows) else 0


def combinations(job: Job) -> list[Job]:
    """A job for each combination of the grid's values, the last parameter changing fastest."""
    count = 1
    for values in job.grid.values():
        count *= len(values)
    if not 1 <= count <= COMBINATIONS_MAX:
        raise ConfigError(f"the grid has {count:,} combinations; 1 to {COMBINATIONS_MAX:,} are possible")
    return [
        replace(job, grid={}, parameters={**job.parameters, **dict(zip(job.grid, values, strict=True))})
        for values in itertools.product(*job.grid.values())
    ]


def ordered(rows: Sequence[Row], sort: str | None) -> list[Row]:
    """Rows, best first by a metric (the Sharpe ratio where there is one, else the total return); unknown ones last."""
    if sort is None:
        sort = "sharpe" if any(row.summary["metrics"]["sharpe"] is not None for row in rows) else "total_return"
    sign = 1.0 if DEFINITION_OF[sort].better is Better.LOWER else -1.0

    def key(row: Row) -> tuple[bool, float]:
        value = row.summary["metrics"][sort]
        return value is None, 0.0 if value is None else sign * value

    return sorted(rows, key=key)


def grid_lines(rows: Sequence[Row], names: Sequence[str], *, synthetic: bool, out: str) -> list[str]:
    """The table of the runs."""
    keys = [key for key in _COLUMNS if key != "sharpe" or any(row.summary["metrics"][key] is not None for row in rows)]
    tripped = any(row.summary["guard"]["tripped"] for row in rows)
    header = [*names, *(DEFINITION_OF[key].title.lower() for key in keys), *(["guard"] if tripped else []), "run"]
    body = [
        (
            *(str(row.parameters[name]) for name in names),
            *(DEFINITION_OF[key].show(row.summary["metrics"][key]) for key in keys),
            *([("TRIPPED" if row.summary["guard"]["tripped"] else "")] if tripped else []),
            str(row.summary["run"]).rpartition("-")[2],
        )
        for row in rows
    ]
    first = rows[0].summary
    lines = [f"{heading(str(first['strategy']))}  grid of {len(rows):,} runs, best first"]
    if synthetic:
        lines.append("  " + warn(SYNTHETIC))
    lines += table(header, body, left=("guard", "run"))
    warnings = dict.fromkeys(text for row in rows for text in row.summary["warnings"])
    lines += [f"  {warn('warning:')} {text}" for text in list(warnings)[:10]]
    return [*lines, "", f"stored in {out}; see one: papertape show {body[0][-1]} --in {out}"]


def _run_all(jobs: Sequence[Job], tape: Tape, workers: int) -> list[Row]:
    """Every job's row, in their order."""
    context = multiprocessing.get_context("spawn")  # the same on every platform, and safe with threads
    played = context.Array("d", len(jobs), lock=False)
    events = sum(len(series) for series in tape.series) * len(jobs)
    with tempfile.TemporaryDirectory(prefix="papertape-grid-") as folder:
        share(tape, Path(folder))
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)), mp_context=context, initializer=_begin_worker, initargs=(folder, played)
        )
        try:
            with Bar(f"{len(jobs)} runs", "events") as bar:
                futures = _submit(pool, jobs)
                waiting = set(futures)
                while waiting:
                    done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()  # the first that fails ends them all
                    part = sum(played) / len(jobs)
                    bar.show(part, int(part * events))
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise UserError("a worker process was killed, perhaps for want of memory; take fewer --workers") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            for process in multiprocessing.active_children():
                process.join(5.0)
                process.kill()


def _submit(pool: ProcessPoolExecutor, jobs: Sequence[Job]) -> list[Future[Row]]:
    """Give all jobs to the workers. Where nothing is compiled yet, one worker does that before the others begin.

    Workers are born deaf to Ctrl-C: it goes to the whole group of processes, and the parent ends them.
    """
    with _deaf():
        futures = [pool.submit(_work, 0, jobs[0])]
    if will_compile() and len(jobs) > 1:
        emit("compiling the engine, once per machine (about a minute) ...", to_stderr=True)
        futures[0].result()
    with _deaf():
        return futures + [pool.submit(_work, k, each) for k, each in enumerate(jobs) if k]


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ignore Ctrl-C for a moment, so that processes that are started ignore it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_worker: tuple[Tape, Any] | None = None
_is_working = False


class _Ended(BaseException):
    """The parent ends this worker; raised through the run, so that what is half-written is removed on the way out."""


def _end_worker(number: int, frame: FrameType | None) -> None:
    if not _is_working:
        os._exit(1)
    raise _Ended


def _begin_worker(folder: str, played: Any) -> None:
    """Set up a worker: the shared tape, where to say how far it is, and an end when the parent is gone."""
    global _worker  # noqa: PLW0603  (what a pool's initializer leaves for its tasks can only be global)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_worker)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (what strategies print would mingle)
    _worker = (attach(Path(folder)), played)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has one"
    parent.join()
    os._exit(1)


def _work(number: int, job: Job) -> Row:
    """One run, in a worker."""
    global _is_working  # noqa: PLW0603  (a signal's handler asks for it)
    _is_working = True
    try:
        return _run_in_worker(number, job)
    except _Ended:
        os._exit(1)  # an executor would go on with the next run
    finally:
        _is_working = False


def _run_in_worker(number: int, job: Job) -> Row:
    assert _worker is not None, "the worker was set up"
    tape, played = _worker
    strategy = make_strategy(load_strategy(job.strategy, job.framework), job.parameters)

    def progress(part: float, events: int) -> None:
        played[number] = part

    from papertape.runs import to_json_summary

    run = run_one(job, strategy, tape, to_stderr=False, progress=progress)
    return Row(dict(job.parameters), to_json_summary(run))
