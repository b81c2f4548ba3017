"""The synthetic sample: a tape of a made-up market, so that a first backtest needs no data of anyone's.

Layout, usable as a whole with ``--data FOLDER``: ``trades/``, ``quotes/`` and ``bars/`` (one-minute, made of the very
trades, stamped at the close), one file a symbol; ``instruments.csv``; ``actions.csv``; ``tape.json``, which says that
the data are synthetic and how bars are stamped; ``SYNTHETIC.txt``, which says so to a person. Times are UTC epoch
nanoseconds inside real sessions of the New York Stock Exchange; the companies do not exist.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from feeds.synthetic_market import (
    MOVER_ACTIVITY,
    NS_PER_MINUTE,
    Company,
    DayPlan,
    DayTape,
    Draws,
    companies,
    drawn_back,
    plan_days,
    trade_day,
)
from feeds.tape_writer import (
    BAR_HEADER,
    MANIFEST,
    QUOTE_HEADER,
    TRADE_HEADER,
    Manifest,
    read_manifest,
    write_columns,
    write_file,
    write_manifest,
)
from papertape.calendar import NS_PER_DAY, session_times
from papertape.core.errors import ConfigError
from papertape.core.model import SessionTimes
from papertape.core.series import I8

DEFAULT_START = date(2024, 6, 3)
SYMBOLS_MAX = 2_000
DAYS_MAX = 260
_FIRST_CON_ID = 990_000_001
_NOTE = "synthetic data: a made-up market of companies that do not exist"
_ENTRIES = ("trades", "quotes", "bars", "instruments.csv", "actions.csv", "SYNTHETIC.txt", MANIFEST)


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written: where, which symbols and dates, how many rows of each kind, and the size in bytes.

    ``halts`` are (date, symbol, jumps as fractions), ``movers`` (date, symbol, overnight gap as a fraction).
    """

    folder: Path
    symbols: tuple[str, ...]
    dates: tuple[date, ...]
    trades: int
    quotes: int
    bars: int
    size: int
    halts: tuple[tuple[date, str, tuple[float, ...]], ...]
    movers: tuple[tuple[date, str, float], ...]


def write_sample(
    folder: Path | str,
    *,
    symbols: int = 50,
    days: int = 5,
    seed: int = 7,
    start: date = DEFAULT_START,
    on_symbol: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Write a synthetic market of ``symbols`` companies over ``days`` sessions from ``start`` on.

    Equal arguments give equal bytes on every machine. ``on_symbol(done, of)`` hears of progress. The folder may be
    missing, empty or an earlier sample, which is replaced as a whole; anything else is refused (ConfigError), as are
    counts out of bounds.
    """
    for name, value, most in (("symbols", symbols, SYMBOLS_MAX), ("days", days, DAYS_MAX)):
        if not 1 <= value <= most:
            raise ConfigError(f"{name} is {value}; choose 1 to {most}")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed is {seed}; choose 0 or more")
    if not 1990 <= start.year <= 2100:
        raise ConfigError(f"start is {start}; choose a date from 1990 to 2100")
    target = Path(folder)
    _check_target(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".sample-") as stage:
            sessions = _sessions(start, days)
            summary = _write_market(Path(stage), target, symbols, seed, sessions, on_symbol or (lambda done, of: None))
            for name in _ENTRIES:
                _replace(Path(stage) / name, target / name)
    except OSError as error:
        raise ConfigError(
            f"the sample cannot be written to {target}: {error.strerror}; choose another folder"
        ) from None
    return summary


def _check_target(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier sample."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; choose a folder for the sample")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    manifest = read_manifest(folder)
    if manifest is None or not manifest.synthetic:
        raise ConfigError(f"{folder} is not empty and not an earlier sample; choose another folder")


def _replace(new: Path, old: Path) -> None:
    """Put a file or folder in the place of another, which is removed even where there is no new one."""
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)
    if new.exists():
        os.replace(new, old)


def _write_market(
    stage: Path, target: Path, symbols: int, seed: int, sessions: SessionTimes, on_symbol: Callable[[int, int], None]
) -> SampleSummary:
    """Write all files to a folder that will take the place of ``target``."""
    lengths = [(c - o) // NS_PER_MINUTE for o, c in zip(sessions.open, sessions.close, strict=True)]
    dates = tuple(date(1970, 1, 1) + timedelta(days=day) for day in sessions.date)
    market = companies(seed, symbols)
    plans = plan_days(seed, market, lengths)
    for kind in ("trades", "quotes", "bars"):
        (stage / kind).mkdir()
    counts = [0, 0, 0]
    size = 0
    for i, company in enumerate(market):
        tapes = _company_days(seed, i, company, [plan[i] for plan in plans], sessions.open, lengths)
        written = _write_company(stage, company.symbol, tapes)
        counts = [total + rows for total, (rows, _) in zip(counts, written, strict=True)]
        size += sum(count for _, count in written)
        on_symbol(i + 1, symbols)
    _write_reference(stage, market, plans, dates)
    write_file(stage / "SYNTHETIC.txt", _explanation(seed, symbols, dates).encode())
    write_manifest(stage, Manifest("close", NS_PER_MINUTE, synthetic=True, seed=seed, derived=("bars",), note=_NOTE))
    size += sum(path.stat().st_size for path in stage.iterdir() if path.is_file())
    happened = [
        (day, company.symbol, plan[i])
        for day, plan in zip(dates, plans, strict=True)
        for i, company in enumerate(market)
    ]
    return SampleSummary(
        folder=target,
        symbols=tuple(company.symbol for company in market),
        dates=dates,
        trades=counts[0],
        quotes=counts[1],
        bars=counts[2],
        size=size,
        halts=tuple((day, name, tuple(h.jump for h in plan.halts)) for day, name, plan in happened if plan.halts),
        movers=tuple((day, name, plan.gap) for day, name, plan in happened if plan.activity >= MOVER_ACTIVITY),
    )


def _sessions(start: date, days: int) -> SessionTimes:
    """The first ``days`` sessions from a date on."""
    first = (start - date(1970, 1, 1)).days
    times = session_times("XNYS", first * NS_PER_DAY, (first + days * 2 + 14) * NS_PER_DAY)
    begin = next(i for i, day in enumerate(times.date) if day >= first)
    rows = slice(begin, begin + days)
    return SessionTimes(times.date[rows], times.open[rows], times.close[rows])


def _company_days(
    seed: int, number: int, company: Company, plans: Sequence[DayPlan], opens: Sequence[int], minutes: Sequence[int]
) -> list[DayTape]:
    """One company's days, each from where the day before ended; a split raises the usual volume from its day on."""
    tapes: list[DayTape] = []
    last, shares = company.price, 1
    for day, plan in enumerate(plans):
        shares *= plan.ratio
        today = Company(
            company.symbol, company.price, company.volatility, company.market_cap, company.average_volume * shares
        )
        tapes.append(trade_day(Draws(seed, 4, number, day), today, plan, last, opens[day], minutes[day]))
        last = drawn_back(tapes[-1].last_mid, company.price / shares)
    return tapes


def _write_company(stage: Path, symbol: str, tapes: Sequence[DayTape]) -> list[tuple[int, int]]:
    """Write one company's three files; returns (rows, bytes) of each."""
    ts = np.concatenate([t.trade_ts for t in tapes])
    trades = [ts, np.concatenate([t.price for t in tapes]), np.concatenate([t.size for t in tapes])]
    quotes = [
        np.concatenate([getattr(t, name) for t in tapes]) for name in ("quote_ts", "bid", "ask", "bid_size", "ask_size")
    ]
    bars = minute_bars(*trades)
    return [
        (len(columns[0]), write_columns(stage / kind / f"{symbol}.csv", header, columns, places))
        for kind, header, columns, places in (
            ("trades", TRADE_HEADER, trades, (0, 2, 0)),
            ("quotes", QUOTE_HEADER, quotes, (0, 2, 2, 0, 0)),
            ("bars", BAR_HEADER, bars, (0, 2, 2, 2, 2, 0)),
        )
    ]


def minute_bars(ts: I8, price: I8, size: I8) -> list[I8]:
    """One-minute bars of trades: close time, open, high, low, close (in the prices' unit) and volume.

    A bar holds the trades of [start, end); minutes without trades have none. Sessions open on whole minutes.
    """
    minute = ts // NS_PER_MINUTE
    first = np.concatenate(([0], np.flatnonzero(minute[1:] != minute[:-1]) + 1))
    last = np.append(first[1:], len(ts)) - 1
    return [
        (minute[first] + 1) * NS_PER_MINUTE,
        price[first],
        np.maximum.reduceat(price, first),
        np.minimum.reduceat(price, first),
        price[last],
        np.add.reduceat(size, first),
    ]


def _write_reference(
    stage: Path, market: Sequence[Company], plans: Sequence[Sequence[DayPlan]], dates: Sequence[date]
) -> None:
    """Write instruments.csv, and actions.csv where there are actions."""
    rows = ["symbol,type,currency,con_id,exchange,tick_size,multiplier,market_cap,average_volume,tradable"]
    for i, company in enumerate(market):
        rows.append(
            f"{company.symbol},STK,USD,{_FIRST_CON_ID + i},SMART,0.01,1,"
            f"{company.market_cap:.0f},{company.average_volume:.0f},true"
        )
    write_file(stage / "instruments.csv", ("\n".join(rows) + "\n").encode())
    actions = ["date,symbol,kind,value"]
    for day, plan in zip(dates, plans, strict=True):
        for company, today in zip(market, plan, strict=True):
            if today.ratio != 1:
                actions.append(f"{day},{company.symbol},split,{today.ratio}")
            if today.dividend_cents:
                actions.append(f"{day},{company.symbol},dividend,{today.dividend_cents / 100:.2f}")
    if len(actions) > 1:
        write_file(stage / "actions.csv", ("\n".join(actions) + "\n").encode())


def _explanation(seed: int, symbols: int, dates: Sequence[date]) -> str:
    """What SYNTHETIC.txt says."""
    return (
        "SYNTHETIC DATA\n\n"
        f"Everything in this folder is made up by papertape (seed {seed}, {symbols} symbols, {dates[0]} to {dates[-1]}).\n"
        "No company, price or trade in it is real. Results on it say nothing about any market.\n"
    )
