"""What lies beside a tape: instruments, corporate actions, recorded scans. All are optional, none is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from feeds.small_csv import Field, Row, read_rows
from papertape.core.errors import DataError
from papertape.core.model import ActionKind, CorporateAction, Instrument, InstrumentType, Scan, ScanRow

INSTRUMENTS_FILE = "instruments.csv"
ACTIONS_FILE = "actions.csv"

_INSTRUMENT_COLUMNS: Mapping[str, str] = {
    "symbol": "symbol", "ticker": "symbol",
    "type": "type", "sec_type": "type", "sectype": "type",
    "currency": "currency",
    "con_id": "con_id", "conid": "con_id",
    "exchange": "exchange",
    "tick_size": "tick_size", "min_tick": "tick_size",
    "multiplier": "multiplier",
    "market_cap": "market_cap", "marketcap": "market_cap",
    "average_volume": "average_volume", "avg_volume": "average_volume",
    "tradable": "tradable",
}  # fmt: skip
_ACTION_COLUMNS: Mapping[str, str] = {
    "date": "date", "ex_date": "date", "ts": "ts", "symbol": "symbol", "ticker": "symbol", "kind": "kind",
    "value": "value",
}  # fmt: skip
_SCAN_COLUMNS = ("ts_recv", "scan_id", "scan_code", "location", "rank", "con_id", "symbol", "exchange", "currency")
_TYPES: Mapping[str, InstrumentType] = {
    **{kind.value.lower(): kind for kind in InstrumentType},
    **{kind.name.lower(): kind for kind in InstrumentType},
}
_KINDS: Mapping[str, ActionKind] = {kind.value: kind for kind in ActionKind}
_YES_NO: Mapping[str, bool] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_CURRENCY = re.compile("[A-Z]{3}")
_EXCHANGE = re.compile("[A-Za-z0-9.]{1,16}")
_SCAN_CODE = re.compile("[A-Z0-9_]{1,64}")


def read_instruments(path: Path) -> tuple[dict[str, Instrument], frozenset[str]]:
    """Read an ``instruments.csv``: symbol -> instrument, and the columns that the file has.

    Only ``symbol`` is required. A missing column or an empty field leaves the instrument's default, which for
    ``market_cap`` (currency) and ``average_volume`` (units a session) is unknown. Raises DataError.
    """
    columns, rows = read_rows(path, _INSTRUMENT_COLUMNS, frozenset({"symbol"}))
    result: dict[str, Instrument] = {}
    for row in rows:
        symbol = row["symbol"].symbol()
        if symbol in result:
            raise row["symbol"].refused(f"{symbol} is there twice; keep one row")
        result[symbol] = _instrument(symbol, row)
    if not result:
        raise DataError("holds no instrument; delete it or add rows", path=str(path))
    return result, columns


def _instrument(symbol: str, row: Row) -> Instrument:
    """An instrument from a row's fields; an empty field is one that is not there."""
    default = Instrument(symbol)
    given = {name: field for name, field in row.items() if field.text}
    return Instrument(
        symbol=symbol,
        type=given["type"].one_of(_TYPES) if "type" in given else default.type,
        currency=_matching(given["currency"], _CURRENCY, "a currency such as USD") if "currency" in given else "USD",
        con_id=given["con_id"].whole() if "con_id" in given else default.con_id,
        exchange=_matching(given["exchange"], _EXCHANGE, "an exchange") if "exchange" in given else default.exchange,
        tick_size=given["tick_size"].number(above=0.0) if "tick_size" in given else default.tick_size,
        multiplier=given["multiplier"].number(above=0.0) if "multiplier" in given else default.multiplier,
        market_cap=given["market_cap"].number(least=0.0) if "market_cap" in given else None,
        average_volume=given["average_volume"].number(least=0.0) if "average_volume" in given else None,
        tradable=given["tradable"].one_of(_YES_NO) if "tradable" in given else default.tradable,
    )


def read_actions(path: Path, zone: str = "America/New_York") -> tuple[CorporateAction, ...]:
    """Read an ``actions.csv``, in time order. ``zone`` is the exchange's.

    The day is given as the ex-date (``date``) or as a time (``ts``, epoch or ISO-8601) on that day; the action takes
    effect at the day's start in ``zone``. ``value`` is the new shares for one old of a split, the money per share of
    a dividend. A file without rows is fine. Raises DataError.
    """
    columns, rows = read_rows(path, _ACTION_COLUMNS, frozenset({"symbol", "kind", "value"}))
    if not columns & {"date", "ts"}:
        raise DataError('there is no column "date"; name it in the header', path=str(path), line=1)
    result: list[CorporateAction] = []
    seen: set[tuple[int, str, ActionKind, float]] = set()
    for row in rows:
        when = row["date"].midnight(zone) if "date" in row else row["ts"].midnight_of_instant(zone)
        action = CorporateAction(
            when, row["symbol"].symbol(), row["kind"].one_of(_KINDS), row["value"].number(above=0.0)
        )
        # Two dividends on one day happen (a special one); two splits, or two equal dividends, are one written twice.
        key = (when, action.symbol, action.kind, action.value if action.kind is ActionKind.DIVIDEND else 0.0)
        if key in seen:
            raise row["symbol"].refused(f"this {action.kind} of {action.symbol} is there twice; keep one row")
        seen.add(key)
        result.append(action)
    return tuple(sorted(result, key=lambda action: action.ts))


def read_scans(path: Path, tz: str | None = None) -> tuple[Scan, ...]:
    """Read recorded scans, in time order.

    One row a result: ``ts_recv`` (when it was received), ``scan_id`` (the request), ``scan_code``, ``location``,
    ``rank`` (from 0), ``con_id``, ``symbol``, ``exchange``, ``currency``; the last row of an evaluation gives the
    scan's time, since only then was all of it known. A new evaluation of a request begins where its rank does not
    rise. A row with an empty rank and symbol records an evaluation without results. ``tz`` is the zone of times that
    name none. Raises DataError.
    """
    required = frozenset({"ts_recv", "scan_id", "scan_code", "rank", "symbol"})
    _, rows = read_rows(path, {name: name for name in _SCAN_COLUMNS}, required)
    scans: list[Scan] = []
    open_scans: dict[str, Scan] = {}
    for row in rows:
        request, ts = row["scan_id"].text, row["ts_recv"].instant(tz)
        code = _matching(row["scan_code"], _SCAN_CODE, "a scanner code such as MOST_ACTIVE")
        current = open_scans.get(request)
        if current is not None and ts < current.ts:
            raise row["ts_recv"].refused(f"{row['ts_recv'].text} is before the row above it of the same scan")
        results = () if not row["rank"].text and not row["symbol"].text else (_scan_row(row),)
        continues = (
            current is not None
            and current.code == code
            and current.rows
            and results
            and results[0].rank > current.rows[-1].rank
        )
        if current is not None and not continues:
            scans.append(current)
        before = current.rows if current is not None and continues else ()
        note = "" if results else "the recorded scan had no results"
        open_scans[request] = Scan(code, ts, before + results, "recorded", note)
    scans.extend(open_scans.values())
    if not scans:
        raise DataError("holds no scan; delete it or add rows", path=str(path))
    return tuple(sorted(scans, key=lambda scan: scan.ts))


def _scan_row(row: Row) -> ScanRow:
    """One ranked result."""
    given = {name: field for name, field in row.items() if field.text}
    return ScanRow(
        rank=row["rank"].whole(),
        symbol=row["symbol"].symbol(),
        con_id=given["con_id"].whole() if "con_id" in given else 0,
        exchange=_matching(given["exchange"], _EXCHANGE, "an exchange") if "exchange" in given else "",
        currency=_matching(given["currency"], _CURRENCY, "a currency such as USD") if "currency" in given else "USD",
    )


def _matching(field: Field, pattern: re.Pattern[str], what: str) -> str:
    """The field's text if it has the form that its kind of word has."""
    if not pattern.fullmatch(field.text):
        raise field.refused(f'"{field.shown}" is not {what}')
    return field.text
