"""What the live screen says, as lines of styled text that fit a width and a height. Pure: a status in, lines out.

Every colour has a word or a sign beside it that says the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from papertape.core.model import NS_PER_S
from papertape.live.status import LimitLine, LiveStatus, LogLine, RunState
from papertape.moments import column_text, zone_name

WIDTH_LEAST, HEIGHT_LEAST = 40, 10
LOG_LEAST = 3
HEADROOM_LOW = 0.25
"""A limit with less of its way left is marked."""
FRESH_S = 10.0
"""Data older than this are marked (DESIGN: a held instrument without fresh data blocks orders)."""
UNKNOWN = "?"

_BOLD: Final = "bold"
_DIM: Final = "dim"
_BAD: Final = "bold red"
_WARN: Final = "yellow"
_GOOD: Final = "green"
_KINDS: Final = {"fill": _GOOD, "guard": _BAD, "halt": _BAD, "link": _WARN, "data": _WARN, "notice": _WARN}
_STATES: Final = {"running": _GOOD, "halted": _BAD, "starting": _WARN, "ending": _WARN}

Cells = Sequence[tuple[str, str]]
"""The cells of a row, each with its style."""


def clean(text: object) -> str:
    """Text as one harmless line: what could move a terminal's cursor is shown as an escape."""
    raw = str(text)
    return raw if raw.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in raw)


# -- numbers -------------------------------------------------------------------------------------------------------


def money(value: float, *, signed: bool = False) -> str:
    """An amount to the cent; what is not known is a question mark."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:+,.2f}" if signed else f"{value:,.2f}"


def price(value: float) -> str:
    """A price as exact as it is, to six decimals, at least two."""
    if not math.isfinite(value):
        return UNKNOWN
    whole, _, part = f"{value:,.6f}".rstrip("0").partition(".")
    return f"{whole}.{part:0<2}"


def quantity(value: float) -> str:
    """A number of units."""
    return UNKNOWN if not math.isfinite(value) else f"{value:,.6f}".rstrip("0").rstrip(".")


def amount(value: float) -> str:
    """A limit or its value: a small one exact, a large one to whole units."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 10_000 else quantity(round(value, 4))


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def since(ts: int, now: int) -> str:
    """How long ago a time was; a question mark where there is none."""
    return UNKNOWN if not ts else span((now - ts) / NS_PER_S)


def clock(ts: int, zone: str) -> str:
    """A time of day in a zone."""
    return "--:--:--" if not ts else column_text(ts, zone, 0)[11:]


# -- parts ---------------------------------------------------------------------------------------------------------


def head_lines(status: LiveStatus) -> list[Text]:
    """What runs, where, in which state: the lines that are never left out."""
    title = Text.assemble(
        (clean(status.strategy), _BOLD), "  ", (status.mode.upper(), _BAD if status.mode == "live" else _BOLD),
        "  ", clean(status.account), "  ", (status.state, _STATES.get(status.state, "")),
    )  # fmt: skip
    if status.synthetic:
        title.append("  SIMULATED MARKET", _WARN)
    if status.read_only:
        title.append("  READ-ONLY: no orders", _WARN)
    link = Text.assemble(
        clean(status.gateway), "  ", (status.link, _GOOD if status.link == "ready" else _BAD),
        f" for {since(status.link_since, status.now)}",
    )  # fmt: skip
    if status.link_text and status.link != "ready":
        link.append(f": {clean(status.link_text)}")
    link.append(f"  {zone_name(status.zone)} {clock(status.exchange_ts, status.zone)}")
    lines = [title, link]
    if status.guard:
        lines.append(Text(f"GUARD TRIPPED {clock(status.guard_ts, status.zone)}: {clean(status.guard)}", _BAD))
    if status.halt:
        lines.append(Text(f"HALTED {clock(status.halt_ts, status.zone)}: {clean(status.halt)}", _BAD))
    if status.blocking:
        late = f"BLOCKED: {clean(status.blocking)} has not returned for {span(status.blocking_s)}"
        lines.append(Text(f"{late}; guard and halt go on", _BAD))
    if status.data_lost:
        lines.append(Text(f"LOST: {status.data_lost:,} events that a full queue could not take", _BAD))
    return lines


def money_lines(status: LiveStatus) -> list[Text]:
    """The account and the run's result."""
    cash = ", ".join(f"{each.currency} {money(each.amount)}" for each in status.cash) or UNKNOWN
    first = Text.assemble(
        "P&L ", (money(status.pnl, signed=True), _tone(status.pnl)),
        f"  unrealised {money(status.unrealised, signed=True)}  realised {money(status.realised, signed=True)}"
        f"  fees {money(status.fees)} {status.currency}",
    )  # fmt: skip
    second = Text(
        f"net liquidation {money(status.net_liquidation)}  cash {cash}  orders {status.orders_given:,}"
        f"  fills {status.fills_heard:,}"
    )
    if math.isfinite(status.account_pnl):
        second.append(f"  account today {money(status.account_pnl, signed=True)}")
    rate = UNKNOWN if not math.isfinite(status.events_per_s) else f"{status.events_per_s:,.0f}"
    third = Text(f"events {status.events:,}, {rate}/s  lag {span(status.lag_s)}", _DIM)
    return [first, second, third]


def _tone(value: float) -> str:
    return "" if not math.isfinite(value) or value == 0 else (_GOOD if value > 0 else _BAD)


def limit_lines(limits: Sequence[LimitLine]) -> list[Text]:
    """The guard's limits, the one with the least headroom first."""
    if not limits:
        return [Text("guard: no limits are set", _WARN)]
    ranked = sorted(limits, key=lambda each: each.headroom if math.isfinite(each.headroom) else -math.inf)
    rows = []
    for each in ranked:
        is_known = math.isfinite(each.headroom)
        left = f"{max(each.headroom, -9.99):.0%} left" if is_known else "unknown: orders are blocked"
        mark = "!" if not is_known or each.headroom < HEADROOM_LOW else ""
        rows.append([
            (clean(each.name), ""), (amount(each.value), ""), (amount(each.threshold), ""),
            (f"{left} {mark}".rstrip(), _BAD if mark else _GOOD),
        ])  # fmt: skip
    return grid(("guard", "value", "limit", "headroom"), rows, left=(0, 3))


def position_lines(status: LiveStatus) -> list[Text]:
    """What is held."""
    rows: list[Cells] = [
        [
            (clean(each.symbol) + ("" if each.is_own else " (not this run's)"), ""), (quantity(each.quantity), ""),
            (price(each.average_cost), ""), (price(each.mark), ""),
            (money(each.unrealised, signed=True), _tone(each.unrealised)), (money(each.realised, signed=True), ""),
        ]
        for each in status.positions
    ]  # fmt: skip
    return grid(("position", "quantity", "cost", "mark", "unrealised", "realised"), rows) if rows else []


def order_lines(status: LiveStatus) -> list[Text]:
    """Working orders."""
    rows: list[Cells] = [
        [
            (f"{each.number}", ""), (each.side, ""), (clean(each.symbol), ""),
            (f"{quantity(each.filled)}/{quantity(each.quantity)}", ""), (clean(each.terms), ""),
            (each.status, "" if each.status != "UNKNOWN" else _BAD), (since(each.ts, status.now), _DIM),
        ]
        for each in status.orders
    ]  # fmt: skip
    titles = ("order", "", "symbol", "filled", "terms", "status", "age")
    return grid(titles, rows, left=(1, 2, 4, 5)) if rows else []


def data_lines(status: LiveStatus) -> list[Text]:
    """How fresh the data are, the stalest first."""
    ranked = sorted(status.data, key=lambda each: (not each.is_stale, each.received_ts))
    rows: list[Cells] = []
    for each in ranked:
        newest = each.received_ts
        is_old = each.is_stale or not newest or (status.now - newest) / NS_PER_S > FRESH_S
        rows.append([
            (clean(each.symbol), ""), (since(newest, status.now), ""),
            (each.source, ""), (each.kind, "" if each.kind == "live" else _WARN),
            ("stale" if each.is_stale else "quiet" if is_old else "fresh", _BAD if each.is_stale else ""),
        ])  # fmt: skip
    return grid(("data", "age", "source", "kind", ""), rows, left=(0, 2, 3, 4)) if rows else []


def scan_lines(status: LiveStatus) -> list[Text]:
    """The last scan."""
    if status.scan is None:
        return []
    found = status.scan
    rest = f" ({clean(found.note)})" if found.note else ""
    names = " ".join(clean(symbol) for symbol in found.symbols) or "nothing"
    return [Text(f"scan {clean(found.code)} {clock(found.ts, status.zone)}: {names}{rest}")]


def log_line(line: LogLine, zone: str) -> Text:
    """A line of the log."""
    return Text.assemble(
        (clock(line.ts, zone), _DIM), " ", (f"{line.kind:<6}", _KINDS.get(line.kind, "")), " ", clean(line.text)
    )  # fmt: skip


def grid(titles: Sequence[str], rows: Sequence[Cells], *, left: Sequence[int] = (0,)) -> list[Text]:
    """Aligned columns under their titles; those named in ``left`` are text, the others numbers."""
    widths = [max(len(titles[k]), *(len(row[k][0]) for row in rows)) for k in range(len(titles))]
    lines = []
    for row in [[(title, _DIM) for title in titles], *rows]:
        line = Text()
        for k, (cell, style) in enumerate(row):
            line.append("  " if k else "")
            line.append(f"{cell:<{widths[k]}}" if k in left else f"{cell:>{widths[k]}}", style)
        line.rstrip()
        lines.append(line)
    return lines


# -- the whole -----------------------------------------------------------------------------------------------------


def screen_lines(status: LiveStatus, width: int, height: int) -> list[Text]:
    """The screen: at most ``height`` lines of at most ``width`` characters, the most important first.

    What does not fit is counted. The end is the log, in what is left.
    """
    width, height = max(width, WIDTH_LEAST), max(height, HEIGHT_LEAST)
    lines = [*head_lines(status), *money_lines(status), *scan_lines(status)]
    sections = [limit_lines(status.limits), position_lines(status), order_lines(status), data_lines(status)]
    room = max(height - len(lines) - LOG_LEAST, 0)
    for section, share in zip(sections, _shares([len(each) for each in sections], room), strict=True):
        lines += _first(section, share)
    room = height - len(lines)
    shown = status.log[-room:] if room > 0 else ()
    lines += [log_line(each, status.zone) for each in shown]
    return [_cut(line, width) for line in lines[:height]]


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Lines for each section: what it wants where all fits, else as evenly as that can be."""
    shares = [0] * len(wanted)
    while room > 0 and any(share < want for share, want in zip(shares, wanted, strict=True)):
        for k, want in enumerate(wanted):
            if shares[k] < want and room > 0:
                shares[k] += 1
                room -= 1
    return shares


def _first(section: Sequence[Text], share: int) -> list[Text]:
    """The first lines of a section, and how many more there are."""
    if len(section) <= share:
        return list(section)
    if share < 2:  # a title alone says nothing
        return []
    return [*section[: share - 1], Text(f"  and {len(section) - share + 1} more", _DIM)]


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


def summary_line(status: LiveStatus) -> str:
    """The run in one line of plain text."""
    held = ", ".join(f"{quantity(each.quantity)} {clean(each.symbol)}" for each in status.positions if each.is_own)
    least = min((each.headroom for each in status.limits if math.isfinite(each.headroom)), default=math.nan)
    parts = [
        status.state, f"link {status.link}", f"P&L {money(status.pnl, signed=True)} {status.currency}",
        f"net liquidation {money(status.net_liquidation)}", f"holds {held or 'nothing'}",
        f"{len(status.orders)} working", f"{status.events:,} events",
    ]  # fmt: skip
    if math.isfinite(least):
        parts.append(f"guard {least:.0%} left")
    for word, text in (("GUARD TRIPPED", status.guard), ("HALTED", status.halt), ("BLOCKED", status.blocking)):
        if text:
            parts.append(f"{word}: {clean(text)}")
    stale = [each.symbol for each in status.data if each.is_stale]
    if stale and status.state != RunState.ENDED:
        parts.append(f"stale: {' '.join(map(clean, stale))}")
    return ", ".join(parts)
