"""What client versions are known to differ in: fields that they have not, or have in another form, each with its reason.

Server versions and their meaning are those that the public clients name (``server_versions.py`` of Interactive
Brokers' own). A difference that is not in this table is a fault of the gateway.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from tests.gateway.clients.comparing import Difference, Same, below, of
from tests.gateway.clients.script import ZONE

LOT = 100

DATES_WITH_ZONE = 174
TICKS_IN_SHARES = 159
HISTORY_IN_SHARES = 175

_LISTS_NO_ZONE = "times name their zone from server version 174 on"
_LOTS = "ticks of US stocks are in shares from server version 159 on, in round lots before"
_HISTORY_LOTS = "bars of US stocks are in shares from server version 175 on, in round lots before"
_READS_TIMES = "ib_async makes a time of the text"
_NO_MASK = "ib_async leaves the mask of a price out"
_DEFAULTS = "a field that the message does not have, as the client's class has it by default"
_ZERO_UNSET = "ib_async leaves an empty number unset, the stock client reads it as 0"


def moment(text: Any) -> dt.datetime | None:
    """A time as any version spells it; None where it is none. Without a zone it is the exchange's."""
    if not isinstance(text, str):
        return None
    day, *rest = text.split()
    clock, *zone = rest or [""]
    at = dt.datetime.fromisoformat(f"{day} {clock}".strip())
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(zone[0]) if zone else ZONE)
    return at.astimezone(dt.UTC)


def same_moment(has: Any, lacks: Any) -> bool:
    """Two spellings of one time."""
    return moment(has) is not None and moment(has) == moment(lacks)


def in_lots(has: Any, lacks: Any) -> bool:
    """A size in shares and the same in round lots."""
    return bool(has == LOT * lacks)


def trade_in_lots(has: Any, lacks: Any) -> bool:
    """The text of generic tick 233 (price;size;ms;volume;average;single) with its size in shares and in lots.

    The volume so far is in lots in both: it is in shares only from server version 220 on.
    """
    mine, yours = has.split(";"), lacks.split(";")
    numbers = [tuple(float(each) for each in side[:5]) for side in (mine, yours)]
    shares = (numbers[1][0], numbers[1][1] * LOT, *numbers[1][2:])
    return bool(numbers[0] == shares and mine[5:] == yours[5:])


def nothing_else(*values: Any) -> Same:
    """The one which lacks the field has nothing there, or one of these values."""
    return lambda has, lacks: lacks is None or lacks in values


KNOWN: tuple[Difference, ...] = (
    Difference("error", "4", below(194), "errors carry their time from server version 194 on", nothing_else()),
    # times
    Difference("execDetails", "2.time", below(DATES_WITH_ZONE), _LISTS_NO_ZONE, same_moment),
    Difference("execDetails", "2.time", of("ib_async"), _READS_TIMES, same_moment),
    Difference("completedOrder", "2.completedTime", below(DATES_WITH_ZONE), _LISTS_NO_ZONE, same_moment),
    Difference("historicalData", "1.date", below(DATES_WITH_ZONE), _LISTS_NO_ZONE, same_moment),
    Difference("historicalDataUpdate", "1.date", below(DATES_WITH_ZONE), _LISTS_NO_ZONE, same_moment),
    Difference("historicalDataEnd", "[12]", below(DATES_WITH_ZONE), _LISTS_NO_ZONE, same_moment),
    # sizes
    Difference("tickSize", "2", below(TICKS_IN_SHARES), _LOTS, in_lots),
    Difference("tickString", "2", below(TICKS_IN_SHARES), _LOTS, trade_in_lots),
    Difference("historicalData", "1.volume", below(HISTORY_IN_SHARES), _HISTORY_LOTS, in_lots),
    Difference("historicalDataUpdate", "1.volume", below(HISTORY_IN_SHARES), _HISTORY_LOTS, in_lots),
    Difference("realtimeBar", "6", below(HISTORY_IN_SHARES), _HISTORY_LOTS, in_lots),
    # contracts
    Difference("contractDetails", "1.minSize", below(164), "sizes have rules from server version 164 on"),
    Difference("contractDetails", "1.sizeIncrement", below(164), "sizes have rules from server version 164 on"),
    Difference(
        "contractDetails", "1.suggestedSizeIncrement", below(164), "sizes have rules from server version 164 on"
    ),
    Difference("contractDetails", "1.minSize", of("ib_async"), _DEFAULTS, nothing_else(0)),
    Difference("contractDetails", "1.*izeIncrement", of("ib_async"), _DEFAULTS, nothing_else(0)),
    Difference("contractDetails", "1.mdSizeMultiplier", of("9.81", "ib_async"), "later clients have no such field"),
    Difference("contractDetails", "1.mdSizeMultiplier", of("ib_async"), "ib_async reads past it", nothing_else(1)),
    Difference("scannerData", "2.mdSizeMultiplier", of("9.81"), _DEFAULTS, nothing_else(0)),
    Difference("scannerData", "2.mdSizeMultiplier", of("ib_async"), _DEFAULTS, nothing_else(1)),
    Difference("scannerData", "2.minSize", of("ib_async"), _DEFAULTS, nothing_else(0)),
    Difference("scannerData", "2.*izeIncrement", of("ib_async"), _DEFAULTS, nothing_else(0)),
    Difference("symbolSamples", "1.*.contract.description", below(176), "contracts are described from there on"),
    Difference("symbolSamples", "1.*.contract.strike", of("10.37", "10.46", "10.50"), _DEFAULTS, nothing_else()),
    # orders
    Difference("openOrder", "3.marginCurrency", below(195), "margins are told more fully from server version 195 on"),
    Difference("completedOrder", "1.eTradeOnly", of("9.81"), _DEFAULTS, nothing_else(True)),
    Difference("completedOrder", "1.firmQuoteOnly", of("9.81"), _DEFAULTS, nothing_else(True)),
    Difference(
        "openOrder", "2.openClose", of("ib_async"), "its orders say O where others say nothing", nothing_else("O")
    ),
    Difference(
        "completedOrder", "1.openClose", of("ib_async"), "its orders say O where others say nothing", nothing_else("O")
    ),
    Difference("openOrder", "2.referencePriceType", of("ib_async"), _ZERO_UNSET, nothing_else()),
    Difference("openOrder", "2.volatilityType", of("ib_async"), _ZERO_UNSET, nothing_else()),
    Difference("completedOrder", "1.referencePriceType", of("ib_async"), _ZERO_UNSET, nothing_else()),
    Difference("completedOrder", "1.volatilityType", of("ib_async"), _ZERO_UNSET, nothing_else()),
    # ticks
    Difference("tickPrice", "3.*", of("ib_async"), _NO_MASK, nothing_else()),
)
