"""Going on with a run whose process has ended, however it ended: its journal is found, checked, and played again.

Start-up is recovery: a run that is resumed any number of times has the orders, positions and cash that it had. A halt and
a trip of the guard stay until a person has reset them (``papertape guard reset RUN``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backtests.outcome import Source, code_hash
from brokers.ib.gateway import IbGateway
from papertape.core.errors import ConfigError, DataError, UserError
from papertape.core.model import Note, Severity
from papertape.core.requests import ConfirmRequest
from papertape.core.timers import NEVER
from papertape.live import entries
from papertape.live.assembly import Claim, LiveRun, assemble
from papertape.live.control import is_alive, read_life
from papertape.live.entries import Entry
from papertape.live.journal import FILE_NAME as JOURNAL_FILE
from papertape.live.journal import Journal, read_journal
from papertape.live.replay import Outline, Replay, outline_of
from papertape.live.settings import Address, LiveSettings
from strategies.base import Strategy

LAST = "last"
_KEPT = ("mode", "client_id", "calendar", "guard")
"""Settings that a run keeps: what it may lose, and how TWS knows its orders."""
_UNTOLD = frozenset({*_KEPT, "account"})


def find_resumable(text: str, folder: Path) -> Path:
    """The folder of the run that ``text`` names: by its path, the start or end of its name, or ``last``, the newest.

    Raises DataError where there is none with a journal.
    """
    given = Path(text)
    if given.name == JOURNAL_FILE and given.is_file():
        return given.parent
    if given.is_dir():
        if (given / JOURNAL_FILE).is_file():
            return given
        raise DataError("holds no journal: only paper and live runs can be resumed", path=text)
    names = sorted(each.parent.name for each in folder.glob(f"[!.]*/{JOURNAL_FILE}")) if folder.is_dir() else []
    if not names:
        raise DataError(f"no such run, and {folder} holds none with a journal; name its folder", path=text)
    if text == LAST:
        return folder / names[-1]  # names begin with the time
    found = [name for name in names if name.startswith(text) or name.endswith(f"-{text}")]
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise DataError(f"{len(found)} runs in {folder} begin so; name one, as {found[-1]}", path=text)
    raise DataError(f"no such run with a journal in {folder}; the last is {names[-1]}", path=text)


def refuse_alive(folder: Path) -> None:
    """Raise UserError where a process executes the run now."""
    if is_alive(folder):
        life = read_life(folder)
        who = f"process {life.pid}" if life is not None else "another process"
        raise UserError(
            f"{folder.name} is being executed by {who}; end that one first (papertape halt stops its orders)"
        )


def read_entries(journal: Journal) -> list[tuple[int, Entry]]:
    """All entries of an open journal with their times. Raises DataError where one can not be understood."""
    try:
        return [(each.ts, entries.decode(each.body)) for each in journal.entries()]
    except (ValueError, TypeError, KeyError) as error:
        what = f"an entry is not understood ({error}); it may be of a newer papertape: upgrade it"
        raise DataError(what, path=str(journal.path)) from error


def check_resume(
    header: Mapping[str, Any],
    outline: Outline,
    strategy: Strategy,
    settings: LiveSettings,
    symbols: Sequence[str],
    address: Address,
) -> list[str]:
    """What is not as it was when the run began, where that does no harm, as texts.

    Raises ConfigError for what a run keeps: strategy, parameters, symbols, mode, account, client id and limits.
    """
    name = type(strategy).__name__
    if name != header["strategy"]:
        raise ConfigError(f"the run is one of {header['strategy']}, not of {name}; name that strategy")
    _check_parameters(header["parameters"], {key: str(value) for key, value in strategy.parameter_values.items()})
    if list(symbols) != header["symbols"]:
        was, now = " ".join(header["symbols"]) or "none", " ".join(symbols) or "none"
        raise ConfigError(f"the run was begun with symbols {was}, not {now}; name those, or begin a new run")
    before = header["settings"]
    now_plain = json.loads(json.dumps(settings.as_plain()))
    known = outline.account or before.get("account", "")
    if settings.account and known and settings.account != known:
        raise ConfigError(f"the run trades account {known}, not {settings.account}; leave --account out, or name that")
    for key in _KEPT:
        _check_kept(key, before.get(key), now_plain[key])
    told = [
        f"{key} is {now_plain[key]}, was {before[key]}"
        for key in now_plain
        if key not in _UNTOLD and key in before and now_plain[key] != before[key]
    ]
    if str(address) != header["gateway"]:
        told.append(f"gateway is {address}, was {header['gateway']}")
    before_hash = header["code_hash"] if outline.code_hash is None else outline.code_hash
    if code_hash(type(strategy)) != before_hash:
        told.append("the source of the strategy has changed since the run last traded")
    return told


def _check_parameters(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            was, is_now = before.get(key, "not there"), now.get(key, "not there")
            raise ConfigError(f"parameter {key} is {is_now}, and {was} in the journal; set it so, or begin a new run")


def _check_kept(key: str, before: Any, now: Any) -> None:
    if before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        name = next(each for each in sorted({*before, *now}) if before.get(each) != now.get(each))
        raise ConfigError(
            f"{key} {name} is {now.get(name)}, and {before.get(name)} in the journal: a run keeps its limits; set it so, "
            f"or begin a new run"
        )
    raise ConfigError(f"{key} is {now}, and {before} in the journal; set it so, or begin a new run")


def resume_run(
    folder: Path,
    strategy: Strategy,
    settings: LiveSettings,
    address: Address,
    *,
    symbols: Sequence[str] = (),
    now: int | None = None,
    until: int = NEVER,
    source: Source | None = None,
    simulated: Mapping[str, Any] | None = None,
    named: Sequence[str] | None = None,
    confirm: Callable[[ConfirmRequest], None] | None = None,
    connect: Callable[[], IbGateway] | None = None,
    look: Callable[[], None] = lambda: None,
    locks: Path | None = None,
) -> LiveRun:
    """Make a run from its journal, ready to go on; nothing is connected yet. Arguments are those of ``make_run``.

    The strategy is a fresh one: ``on_start`` is called when the account agrees with the journal, and finds positions
    and orders as they are. Raises UserError where another process has the run or its account, ConfigError where
    something differs that a run keeps, and DataError where the journal can not be read.
    """
    refuse_alive(folder)
    journal = Journal.open(folder / JOURNAL_FILE)
    claim = Claim(locks, settings.client_id, folder, is_needed=not simulated)
    try:
        header = dict(journal.header)
        played = read_entries(journal)
        outline = outline_of(played, header["run_id"])
        told = check_resume(header, outline, strategy, settings, symbols, address)
        account = outline.account or settings.account
        if account:
            claim(account)
        present = time.time_ns() if now is None else now
        run = assemble(
            strategy, replace(settings, account=account), address, folder=folder, run_id=header["run_id"],
            journal=journal, symbols=symbols, now=max(present, outline.last_ts) if now is None else present,
            until=until, source=source, confirm=confirm, connect=connect, look=look, claim=claim,
            first_order_id=outline.highest_order_id + 1,
        )  # fmt: skip
        parts = run.parts
        replay = Replay(parts.adapter, parts.side, parts.adapter.ib.registry, run.calendar)
        replay.play(played)
        parts.clock.begin_at(outline.last_ts)
        resumed = entries.Resumed(code_hash(type(strategy)), "; ".join(told))
        journal.commit(outline.last_ts, "Resumed", entries.encode(resumed))
    except BaseException:
        journal.close()
        claim.release()
        raise
    run.simulated = simulated or {}
    run.named = symbols if named is None else named
    run.notes += _notes(outline, told)
    blocked = _blocked(outline)
    if blocked:
        text = f"{blocked}; it gives no orders until a person has reset it: papertape guard reset {folder.name}"
        run.notes.append(Note("blocked", text, Severity.WARNING))
        parts.adapter.say(outline.last_ts, text)
    return run


def _notes(outline: Outline, told: Sequence[str]) -> list[Note]:
    times = outline.resumed + 1
    often = "once" if times == 1 else f"{times} times"
    text = f"resumed {often}; what the strategy kept in memory began anew each time"
    return [Note("resumed", text), *(Note("changed", each, Severity.WARNING) for each in told)]


def latched(folder: Path) -> str:
    """Why a run gives no orders until its guard is reset; empty where it would. Raises DataError."""
    header, rows = read_journal(folder)
    try:
        outline = outline_of(((each.ts, entries.decode(each.body)) for each in rows), header["run_id"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"an entry is not understood ({error})", path=str(folder / JOURNAL_FILE)) from error
    return _blocked(outline)


def _blocked(outline: Outline) -> str:
    if outline.trip:
        return f"the guard has tripped: {outline.trip}"
    return f"it was halted: {outline.halted}" if outline.halted else ""


def reset_guard(folder: Path, *, who: str) -> str:
    """Let a run that tripped or was halted give orders again when it is resumed; returns what it was blocked by.

    The limits are armed anew from the account as it is then. Raises UserError where the run is alive or not blocked.
    """
    refuse_alive(folder)
    why = latched(folder)
    if not why:
        raise UserError(f"{folder.name} is not blocked: its guard has not tripped, and nobody has halted it")
    with Journal.open(folder / JOURNAL_FILE) as journal:
        last = max((each.ts for each in journal.entries()), default=0)
        journal.commit(last, "GuardReset", entries.encode(entries.GuardReset(f"reset by {who}; it was: {why}")))
    return why
