"""What ``papertape paper`` and ``papertape live`` have in common: a run that is made, watched, ended in order and shown."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from papertape.cli.backtest import GUARD_TRIPPED, make_strategy
from papertape.cli.trading_options import Trading, end_time
from papertape.core.errors import ConfigError, PeerError, UserError, did_you_mean
from papertape.core.model import NS_PER_S, Mode

if TYPE_CHECKING:
    from gateway.threaded import SimulatedGateway
    from papertape.cli.questions import Questions
    from papertape.core.series import Tape
    from papertape.live.assembly import LiveRun
    from papertape.live.preflight import Found
    from papertape.live.settings import Address
    from strategies.base import Strategy


def trade(trading: Trading) -> int:
    """Run it and print what came of it; returns the exit status."""
    from papertape.cli.strategy_source import load_strategy

    strategy = make_strategy(load_strategy(trading.job.strategy, trading.job.framework), trading.job.parameters)
    return _on_simulated(trading, strategy) if trading.is_simulated else _on_tws(trading, strategy)


def _on_simulated(trading: Trading, strategy: Strategy) -> int:
    """A paper run on the simulated gateway, which is started for it in this process."""
    from backtests.run import prepared
    from gateway.assembly import parse_speed
    from gateway.scenario import Scenario
    from papertape.cli.backtest import load
    from papertape.live.simulated import first_session_of, paper_run, paper_settings, serve_tape

    speed = trading.config.live.speed
    settings = paper_settings(trading.settings, speed=None if speed is None else parse_speed(speed))
    simulated, _ = prepared(trading.job.guard, trading.job.options)
    simulated.fee_model()
    scenario = None if trading.scenario is None else Scenario.read(Path(trading.scenario))
    questions = _questions(trading)
    tape = load(trading.job)
    _check_symbols(trading.job.symbols, tape)
    if trading.is_first_look:
        simulated = first_session_of(tape, simulated)
    with serve_tape(tape, simulated, settings, allow_short=strategy.allow_short, scenario=scenario) as gateway:
        until = end_time(trading, gateway.first_ts, gateway.calendar.zone)
        _say(trading, _opening_of_simulated(trading, gateway, tape))
        run = paper_run(
            strategy, tape, gateway, settings, simulated, out=Path(trading.job.out), symbols=trading.job.symbols,
            until=until, confirm=None if questions is None else questions.ask,
        )  # fmt: skip
        return execute(trading, run, strategy, questions)


def _check_symbols(symbols: Sequence[str], tape: Tape) -> None:
    for symbol in symbols:
        if symbol not in tape.symbols:
            raise ConfigError(f"--symbols {symbol}: the data hold no such symbol{did_you_mean(symbol, tape.symbols)}")


def _opening_of_simulated(trading: Trading, gateway: SimulatedGateway, tape: Tape) -> list[str]:
    from papertape.moments import time_text

    zone = gateway.calendar.zone
    span = f"{time_text(gateway.first_ts, zone)} to {time_text(gateway.last_ts, zone)}"
    more = [f"       the first session of it; --data {trading.job.data[0]} plays all"] if trading.is_first_look else []
    return [
        f"paper: {trading.job.strategy} on a simulated gateway that plays {', '.join(trading.job.data)}",
        f"       {len(tape.symbols)} symbols, {span}; --gateway 127.0.0.1:7497 is TWS",
        *more,
    ]


def _on_tws(trading: Trading, strategy: Strategy) -> int:
    """A run at TWS or IB Gateway. Everything that could refuse it comes before anything of it is made."""
    from gateway.assembly import parse_speed
    from papertape.core.folders import state_folder
    from papertape.live.arming import check_arm, check_terminal, confirm_account
    from papertape.live.assembly import make_run
    from papertape.live.preflight import look_at
    from papertape.live.resume import find_resumable, resume_run
    from papertape.live.settings import Address

    live = trading.config.live
    address = Address.parse(str(live.gateway))
    settings = trading.settings
    if live.speed is not None:
        settings = replace(settings, speed=parse_speed(live.speed) or 1.0)
    questions = _questions(trading)
    if trading.mode is Mode.LIVE and live.arm is not None:
        check_arm(Path(live.arm), settings.account, fingerprint_of(trading, strategy))
    elif trading.mode is Mode.LIVE:
        check_terminal()
    if trading.resume is not None:
        find_resumable(trading.resume, Path(trading.job.out))
    found = look_at(address, settings)
    looked_s = time.monotonic()
    zone = _zone(settings.calendar)
    end_time(trading, found.ts, zone)  # what is wrong with it is said before anybody is asked
    _say(trading, _opening_at_tws(trading, strategy, address, found))
    if trading.mode is Mode.LIVE and live.arm is None:
        confirm_account(settings.account)
    now = found.ts + round((time.monotonic() - looked_s) * settings.speed * NS_PER_S)  # a person may take their time
    until = end_time(trading, now, zone)
    out = Path(trading.job.out)
    common: dict[str, Any] = {
        "symbols": trading.job.symbols,
        "now": now,
        "until": until,
        "confirm": None if questions is None else questions.ask,
        "locks": state_folder(),
    }
    settings = replace(settings, account=found.account)
    if trading.resume is None:
        run = make_run(strategy, settings, address, out=out, **common)
    else:
        run = resume_run(find_resumable(trading.resume, out), strategy, settings, address, **common)
    return execute(trading, run, strategy, questions)


def _opening_at_tws(trading: Trading, strategy: Strategy, address: Address, found: Found) -> list[str]:
    """What is about to be traded, where, and within which limits."""
    mode = trading.mode.value
    indent = " " * (len(mode) + 2)
    settings = trading.settings
    parameters = ", ".join(f"{name} {value}" for name, value in strategy.parameter_values.items())
    guard = settings.guard
    limits = [f"{name} {value}" for name, value in settings.limits().items()]
    sends_nothing = "; read-only: no order is sent" if settings.is_read_only else ""
    lines = [
        f"{mode}: {trading.job.strategy}{f' with {parameters}' if parameters else ''}",
        f"{indent}account {found.account} at {address}, client id {settings.client_id}{sends_nothing}",
        f"{indent}guard: {', '.join(limits) or 'no limits are set'}",
    ]
    if not trading.job.symbols:
        lines.append(f"{indent}no symbols are named (--symbols AAA,BBB): it follows what it finds by itself")
    if guard.max_drawdown is None:
        lines.append(f"{indent}no loss stops it by itself: --max-drawdown 5% would")
    if trading.passed_over:
        names = ", ".join(trading.passed_over)
        lines.append(f"{indent}for backtests and the simulated gateway only, and passed over here: {names}")
    return lines


def _say(trading: Trading, lines: list[str]) -> None:
    from papertape.cli.text import clean, emit

    emit("\n".join(clean(line) for line in lines), to_stderr=trading.as_json)


def fingerprint_of(trading: Trading, strategy: Strategy) -> str:
    """What an arming file is bound to."""
    from backtests.outcome import code_hash

    kind = type(strategy)
    gateway, symbols = str(trading.config.live.gateway), sorted(trading.job.symbols)
    return trading.settings.fingerprint(
        kind.__name__, {**strategy.parameter_values, "symbols": symbols, "gateway": gateway}, code_hash(kind)
    )


def _zone(calendar: str) -> str:
    from papertape.calendar import session_times

    now = time.time_ns()
    return session_times(calendar, now, now).zone


def _questions(trading: Trading) -> Questions | None:
    from papertape.cli.questions import Questions
    from papertape.live.settings import LiveConfirm

    if trading.settings.confirm is not LiveConfirm.ASK:
        return None
    return Questions(patience_s=trading.settings.confirm_s if not trading.is_simulated else None)


def execute(trading: Trading, run: LiveRun, strategy: Strategy, questions: Questions | None = None) -> int:
    """Run it with a screen, notifications, recordings and an ear for halts, and show it; returns the exit status.

    A new run that never came to trade leaves nothing behind: then UserError says why.
    """
    from papertape.cli.backtest import show_run
    from papertape.runs import open_run

    failure: Exception | None = None
    try:
        with _printing_elsewhere(trading), _watched(trading, run, questions), _ended_by_signals(run):
            run.run()
    except Exception as error:  # noqa: BLE001  # it is raised below, when what is left was said or removed
        failure = error
    if run.is_new and not run.has_begun:
        run.discard()
        if failure is not None and not isinstance(failure, PeerError):
            raise _shown(failure, strategy) from failure
        raise UserError(f"{run.address}: {failure or run.engine.why or 'the run ended before it began'}") from None
    if failure is not None:
        _say_what_is_left(run)
        raise _shown(failure, strategy) from failure
    show_run(open_run(run.folder), as_json=trading.as_json)
    return GUARD_TRIPPED if run.is_cut_short else 0


@contextlib.contextmanager
def _printing_elsewhere(trading: Trading) -> Iterator[None]:
    """What a strategy prints goes to stderr where stdout is for JSON only."""
    if trading.as_json:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        yield


def _shown(error: Exception, strategy: Strategy) -> Exception:
    """An error as it is to be raised: a peer's or the strategy's own in the words of this program."""
    from papertape.cli.failures import explained

    return UserError(str(error)) if isinstance(error, PeerError) else explained(error, strategy)


def _say_what_is_left(run: LiveRun) -> None:
    """Where a run that failed is, and what of it somebody has to look after."""
    from papertape.cli.text import clean, emit, warn

    for line in run.remaining_texts():
        emit(f"{warn('still works:')} {clean(line)}", to_stderr=True)
    emit(f"the run so far is stored in {run.folder}", to_stderr=True)


@contextlib.contextmanager
def _ended_by_signals(run: LiveRun) -> Iterator[None]:
    """Ctrl-C, or a request to terminate, ends the run in order; a second one ends it at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        run.engine.stop("interrupted")

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _watched(trading: Trading, run: LiveRun, questions: Questions | None) -> Iterator[None]:
    """Whoever looks at a run while it runs: the person, other processes, a recorder, somebody to notify."""
    from papertape.cli.text import emit, warn
    from papertape.live.watching import Watching

    live = trading.config.live
    watching = Watching(
        run,
        is_plain=trading.is_plain,
        is_silent=trading.as_json,
        notify=live.notify,
        record=live.record,
    )
    try:
        with watching:
            run.engine.look = watching.look
            if questions is not None:
                questions.attach(run.parts.inbox, watching.screen)
            yield
    finally:
        for line in watching.said:
            emit(f"{warn('warning:')} {line}", to_stderr=True)
