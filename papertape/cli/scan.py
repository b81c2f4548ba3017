"""``papertape scan``: one scan of the market, with what each instrument trades at."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from papertape.cli.gateway_option import DEFAULT, ClientId, Gateway, Peer
from papertape.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from papertape.core.model import Scan, ScanSpec
    from papertape.core.requests import Reply, Snapshot
    from papertape.live.data_link import DataLink

ROWS_MAX = 50
"""TWS gives no more."""

Filters = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILTER=VALUE]...", help="As price_above=1 volume_above=10000 market_cap_below_1e6=1000."),
]


def scan(
    code: Annotated[str, typer.Argument(metavar="CODE", help="As TOP_PERC_GAIN, MOST_ACTIVE or TOP_OPEN_PERC_LOSE.")],
    filters: Filters = None,
    rows: Annotated[int, typer.Option(metavar="N", help="How many, at most 50.")] = ROWS_MAX,
    location: Annotated[str, typer.Option(metavar="PLACE", help="As STK.US.MAJOR or STK.NYSE.")] = "STK.US.MAJOR",
    snapshots: Annotated[bool, typer.Option("--snapshots/--no-snapshots", help="Ask what each trades at.")] = True,
    gateway: Gateway = DEFAULT,
    client_id: ClientId = 101,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """Scan the market once and show the ranked instruments with bid, ask and last price.

    The scan and all snapshots are requests of TWS; what does not come in time is named, not guessed.
    """
    from papertape.cli.gateway_option import chosen_gateway
    from papertape.cli.text import clean, emit
    from papertape.core.requests import ScanRequest, SnapshotRequest
    from papertape.live.data_link import DataLink

    spec = scan_spec_of(code, filters or (), location)
    if not 1 <= rows <= ROWS_MAX:
        raise ConfigError(f"--rows {rows}: 1 to {ROWS_MAX} are needed; TWS gives no more")
    with chosen_gateway(gateway) as peer:
        if not as_json:
            emit(f"asking {clean(peer)}", to_stderr=True)
        link = DataLink(peer.address, client_id)
        try:
            link.open()
            reply, said = link.ask(ScanRequest(spec, rows))
            found: Scan = reply.value
            prices = None
            if snapshots and found.rows:
                prices, more = link.ask(SnapshotRequest(tuple(found.symbols)))
                said += more
        finally:
            link.close()
    if as_json:
        emit(json.dumps(_as_plain(found, prices, link, peer), indent=2, allow_nan=False))
    else:
        emit("\n".join(_lines(found, prices, link)))
        for text in dict.fromkeys(said):
            emit(f"TWS: {clean(text)}", to_stderr=True)
    return 0


def scan_spec_of(code: str, filters: Sequence[str], location: str) -> ScanSpec:
    """The scan that is asked for. Raises ConfigError."""
    from dataclasses import replace

    from papertape.core.scanner import FILTERS, ScanCode

    if not (code.isascii() and code.replace("_", "").isalnum()):
        raise ConfigError(f'scan "{code}": a code of TWS is needed, as TOP_PERC_GAIN')
    values: dict[str, float] = {}
    for text in filters:
        name, sign, number = text.partition("=")
        if name not in FILTERS:
            raise ConfigError(f'unknown scan filter "{name}"{did_you_mean(name, FILTERS)}')
        try:
            value = float(number.replace("_", ""))
        except ValueError:
            value = math.nan
        if not sign or not math.isfinite(value):
            raise ConfigError(f'"{text}": a number is needed, as {name}=10000')
        if name in values:
            raise ConfigError(f"{name} is given twice; give it once")
        values[name] = value
    if not location.replace(".", "").isalnum():
        raise ConfigError(f'--location "{location}": a place of TWS is needed, as STK.US.MAJOR')
    return replace(ScanCode(code.upper()).where(**values), location=location)


def _lines(found: Scan, prices: Reply | None, link: DataLink) -> list[str]:
    """The table, and what is missing from it."""
    from papertape.cli.text import clean, heading, table, wrapped
    from papertape.live.screen_lines import price, quantity
    from papertape.moments import time_text

    lines = [f"{heading(found.code)}  {time_text(found.ts, link.calendar.zone)}  {len(found.rows)} rows"]
    if found.rows:
        titles = ["rank", "symbol", "bid", "ask", "last", "volume", "contract"]
        body = []
        for row in found.rows:
            snapshot: Snapshot | None = None if prices is None else prices.get(row.symbol)
            known = (
                (math.nan,) * 4 if snapshot is None else (snapshot.bid, snapshot.ask, snapshot.last, snapshot.volume)
            )
            cells = [price(known[0]), price(known[1]), price(known[2]), quantity(known[3])]
            body.append([f"{row.rank + 1}", row.symbol, *cells, f"{row.con_id}"])
        if prices is None:
            titles, body = [titles[0], titles[1], titles[-1]], [[row[0], row[1], row[-1]] for row in body]
        lines += table(titles, body, left=["symbol"])
    if found.note:
        lines += wrapped(clean(found.note))
    if prices is not None and prices.missing:
        lines += wrapped(f"no prices came of {', '.join(map(clean, prices.missing))}")
    return lines


def _as_plain(found: Scan, prices: Reply | None, link: DataLink, peer: Peer) -> dict[str, Any]:
    from papertape.runs import iso_utc

    return {
        "code": found.code,
        "time": iso_utc(found.ts),
        "gateway": str(peer.address),
        "synthetic": peer.is_simulated,
        "note": found.note,
        "rows": [
            {
                "rank": row.rank + 1,
                "symbol": row.symbol,
                "con_id": row.con_id,
                "exchange": row.exchange,
                "currency": row.currency,
                **_prices(None if prices is None else prices.get(row.symbol)),
            }
            for row in found.rows
        ],
        "missing": [] if prices is None else list(prices.missing),
    }


def _prices(snapshot: Snapshot | None) -> Mapping[str, float | None]:
    names = ("bid", "ask", "last", "volume")
    values = (None,) * 4 if snapshot is None else (snapshot.bid, snapshot.ask, snapshot.last, snapshot.volume)
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in zip(names, values, strict=True)
    }
