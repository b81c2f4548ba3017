"""What TWS's codes mean for us: one table, code -> class. A code that is in no table is a class of its own.

TWS says errors, warnings and plain notices with one and the same message, so nothing but the code (and for some the
text) tells them apart. Taking a warning for a cancel loses an order that works; taking a loss of connection for a notice
trades blind. So every code is listed by itself, or in a range that Interactive Brokers documents as one thing; what is
not listed is UNKNOWN, which halts new orders and is shown.

Sources: Interactive Brokers' published table of message codes, the error tables of its Python clients (501 to 593), and
users' reports for what is missing there (10167, 10349, 2157 ...). No real TWS has confirmed the classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

NOT_SENT = -2
"""Code of our own: the client's encoder refused a command, of which nothing was sent."""


class CodeClass(StrEnum):
    """What is to be done about a code. Only UNKNOWN, FATAL and the CONNECTION_LOST family touch more than one request."""

    NOTICE = "notice"
    """Nothing; it may be shown."""
    WARNING = "warning"
    """The order or request lives on; a person should see it."""
    ORDER_REJECTED = "order rejected"
    """The order (or the change of it) is not taken. Of a change, the order before it lives on."""
    ORDER_CANCELLED = "order cancelled"
    """The order has ended by a cancel, ours or somebody's."""
    DUPLICATE_ORDER_ID = "duplicate order id"
    """An order id was used before: nothing of this order is working under it. Take a higher one."""
    MODIFY_REFUSED = "change refused"
    """The order is as it was before the change (or filled); ask for open orders."""
    CANCEL_REFUSED = "cancel refused"
    """There was nothing to cancel, or not any more: the order has ended, or is unknown to TWS. Not an order's end by itself."""
    REQUEST_FAILED = "request failed"
    """That request failed, no other. With an order's id: the order is not taken."""
    REQUEST_ENDED = "request ended"
    """What was to be cancelled has ended, or we cancelled it: no failure."""
    NO_DATA = "no data"
    """The request was fine and there is nothing: an empty answer."""
    CONNECTION_LOST = "connection lost"
    """TWS has lost Interactive Brokers: no new orders, fills may still come."""
    RESTORED_DATA_LOST = "connection restored, data lost"
    """Back, and every subscription is gone: subscribe again, reconcile."""
    RESTORED = "connection restored"
    """Back, and subscriptions go on: reconcile."""
    FARM_DOWN = "farm down"
    """A data farm is not reached: its data are stale. Never a reason to reconnect."""
    FARM_IDLE = "farm idle"
    """A farm sleeps because nobody asked it for anything; it wakes on demand. Neither stale nor fresh."""
    FARM_OK = "farm ok"
    """A data farm is reached."""
    DATA_PERMISSION = "no market data permission"
    """No live data for that request; delayed data may be asked for."""
    DATA_DELAYED = "delayed data"
    """No live data for that request, and delayed data come instead."""
    DATA_COMPETING = "competing session"
    """Another login of this user has the market data: the instrument has none."""
    DATA_ENDED = "subscription ended"
    """A subscription that worked has been ended by TWS: ask again."""
    PACING = "pacing"
    """Too many requests: back off and ask again."""
    LINES = "too many lines"
    """All market data lines, or tick-by-tick lines, are in use."""
    ID_IN_USE = "client id in use"
    """Another program is connected with this client id: back off, with the same id."""
    SCAN_WARNING = "scan warning"
    """The scan goes on; results still come."""
    FATAL = "fatal"
    """The connection is of no more use."""
    UNKNOWN = "unknown"
    """In no table. Halts new orders until a person has looked."""


class Farm(StrEnum):
    """What a farm delivers."""

    MARKET = "market data"
    HISTORY = "history"
    DEFINITIONS = "contract definitions"
    SERVER = "TWS's own server"


class Meaning(msgspec.Struct, frozen=True):
    """A code's class and what it means in one short line. ``by_text``: pairs of a fragment of the text and the class it makes."""

    of: CodeClass
    text: str
    by_text: tuple[tuple[str, CodeClass], ...] = ()

    @property
    def text_decides(self) -> bool:
        """Whether one code has several meanings, told apart by its text."""
        return bool(self.by_text)


_C = CodeClass
_HISTORY_TEXTS: tuple[tuple[str, CodeClass], ...] = (
    ("pacing violation", _C.PACING),
    ("no data", _C.NO_DATA),
    ("no items retrieved", _C.NO_DATA),
    ("query cancelled", _C.REQUEST_ENDED),
    ("query canceled", _C.REQUEST_ENDED),
    ("subscription cancelled", _C.REQUEST_ENDED),
    ("subscription canceled", _C.REQUEST_ENDED),
    ("no market data permissions", _C.DATA_PERMISSION),
    ("different ip address", _C.DATA_COMPETING),
)
"""Fragments (lower case) of what the historical data service says under 162, 165 and 366."""

_SINGLE: Mapping[int, Meaning] = {
    NOT_SENT: Meaning(_C.REQUEST_FAILED, "the client could not write it down; nothing was sent"),
    100: Meaning(_C.PACING, "more than 50 messages a second; TWS closes the connection if it goes on"),
    101: Meaning(_C.LINES, "all market data lines are in use"),
    102: Meaning(_C.REQUEST_FAILED, "a request with this id is open already"),
    103: Meaning(_C.DUPLICATE_ORDER_ID, "this order id was used before"),
    104: Meaning(_C.MODIFY_REFUSED, "the order has filled; it can not be changed"),
    105: Meaning(_C.MODIFY_REFUSED, "the change does not match the order"),
    106: Meaning(_C.ORDER_REJECTED, "the order can not be transmitted"),
    107: Meaning(_C.ORDER_REJECTED, "the order is incomplete"),
    108: Meaning(_C.ORDER_REJECTED, "the price is outside TWS's percentage of the market"),
    109: Meaning(_C.ORDER_REJECTED, "the price is outside TWS's percentage of the market"),
    110: Meaning(_C.ORDER_REJECTED, "the price is no multiple of the price step"),
    131: Meaning(_C.WARNING, "a flag of the order does not apply here and is ignored"),
    133: Meaning(_C.ORDER_REJECTED, "submitting the order failed"),
    134: Meaning(_C.MODIFY_REFUSED, "changing the order failed"),
    135: Meaning(_C.CANCEL_REFUSED, "TWS has no order of this id"),
    136: Meaning(_C.CANCEL_REFUSED, "the order can not be cancelled"),
    161: Meaning(_C.CANCEL_REFUSED, "the order is not in a state in which it can be cancelled"),
    162: Meaning(_C.REQUEST_FAILED, "the historical data service's answer, by its text", _HISTORY_TEXTS),
    163: Meaning(_C.ORDER_REJECTED, "the price is outside TWS's percentage limit"),
    164: Meaning(_C.WARNING, "there is no market data to check the price against"),
    165: Meaning(_C.SCAN_WARNING, "the scan says something about itself", _HISTORY_TEXTS),
    166: Meaning(_C.REQUEST_FAILED, "no history for expired contracts"),
    167: Meaning(_C.ORDER_REJECTED, "it is too late for this order today"),
    168: Meaning(_C.ORDER_REJECTED, "the order is not of the kind this account can give"),
    200: Meaning(_C.REQUEST_FAILED, "no contract, or several, fit the description"),
    201: Meaning(_C.ORDER_REJECTED, "the order is rejected; the text says why"),
    202: Meaning(_C.ORDER_CANCELLED, "the order is cancelled"),
    203: Meaning(_C.ORDER_REJECTED, "this account may not trade the security"),
    300: Meaning(_C.REQUEST_ENDED, "there is no such market data line (any more)"),
    309: Meaning(_C.LINES, "all lines of market depth are in use"),
    311: Meaning(_C.ORDER_REJECTED, "not connected to where the order is to go"),
    322: Meaning(
        _C.REQUEST_FAILED,
        "the request could not be processed",
        (("simultaneous", _C.LINES), ("max number", _C.LINES), ("maximum number", _C.LINES)),
    ),
    326: Meaning(_C.ID_IN_USE, "another program uses this client id"),
    354: Meaning(_C.DATA_PERMISSION, "no subscription to this market data"),
    365: Meaning(_C.REQUEST_ENDED, "there is no such scan (any more)"),
    366: Meaning(_C.REQUEST_ENDED, "there is no such history request (any more)"),
    382: Meaning(_C.ORDER_REJECTED, "it is too late to give this order for the session"),
    383: Meaning(_C.WARNING, "the size is beyond a limit of TWS's settings"),
    389: Meaning(_C.ORDER_REJECTED, "the order can not be given outside the session"),
    399: Meaning(_C.WARNING, "a message about the order, which lives on (held until the open, price capped ...)"),
    404: Meaning(_C.WARNING, "shares to short are being located; the order is held"),
    407: Meaning(_C.ORDER_REJECTED, "the stop price is outside what is allowed"),
    420: Meaning(
        _C.REQUEST_FAILED,
        "five-second bars are refused; the text says why",
        (("pacing", _C.PACING), ("no market data permissions", _C.DATA_PERMISSION)),
    ),
    434: Meaning(_C.ORDER_REJECTED, "the order's size is zero"),
    435: Meaning(_C.ORDER_REJECTED, "an account must be named"),
    436: Meaning(_C.ORDER_REJECTED, "an allocation must be named"),
    437: Meaning(_C.ORDER_REJECTED, "the order can have too few or too many of something"),
    456: Meaning(_C.LINES, "too many requests for market depth"),
    460: Meaning(_C.REQUEST_FAILED, "no trading permission for what is asked"),
    481: Meaning(_C.WARNING, "the order's size was reduced"),
    492: Meaning(_C.SCAN_WARNING, "a subscription is missing; the scan shows delayed data"),
    501: Meaning(_C.NOTICE, "connected already"),
    502: Meaning(_C.FATAL, "TWS can not be reached"),
    503: Meaning(_C.REQUEST_FAILED, "TWS is too old for this request; nothing was sent"),
    504: Meaning(_C.FATAL, "not connected"),
    505: Meaning(_C.FATAL, "a message that is unknown to the client"),
    506: Meaning(_C.FATAL, "a version that TWS does not speak"),
    507: Meaning(_C.FATAL, "a message of an impossible length"),
    508: Meaning(_C.FATAL, "a message that can not be read"),
    509: Meaning(_C.FATAL, "reading from the connection failed"),
    520: Meaning(_C.FATAL, "no socket could be made"),
    531: Meaning(_C.REQUEST_FAILED, "the time could not be asked"),
    1100: Meaning(_C.CONNECTION_LOST, "TWS has lost its connection to Interactive Brokers"),
    1101: Meaning(_C.RESTORED_DATA_LOST, "the connection is back, subscriptions are gone"),
    1102: Meaning(_C.RESTORED, "the connection is back, subscriptions go on"),
    1300: Meaning(_C.FATAL, "TWS's socket port has changed; this connection is dropped"),
    2100: Meaning(_C.DATA_ENDED, "account updates have gone to another client"),
    2101: Meaning(_C.REQUEST_FAILED, "no account updates: another client subscribes to another account"),
    2102: Meaning(_C.MODIFY_REFUSED, "the order is being processed; it can not be changed now"),
    2103: Meaning(_C.FARM_DOWN, "a market data farm is not reached"),
    2104: Meaning(_C.FARM_OK, "a market data farm is reached"),
    2105: Meaning(_C.FARM_DOWN, "a historical data farm is not reached"),
    2106: Meaning(_C.FARM_OK, "a historical data farm is reached"),
    2107: Meaning(_C.FARM_IDLE, "a historical data farm sleeps until it is asked"),
    2108: Meaning(_C.FARM_IDLE, "a market data farm sleeps until it is asked"),
    2109: Meaning(_C.WARNING, "trading outside hours does not apply to this order and is ignored"),
    2110: Meaning(_C.FARM_DOWN, "TWS has lost its server; it restores this by itself"),
    2119: Meaning(_C.FARM_DOWN, "a market data farm is being connected"),
    2137: Meaning(_C.WARNING, "the order reverses or closes a position"),
    2148: Meaning(_C.WARNING, "an order of this kind may be charged differently"),
    2150: Meaning(_C.WARNING, "the position or trade is not valid for a derived value"),
    2157: Meaning(_C.FARM_DOWN, "the farm of contract definitions is not reached"),
    2158: Meaning(_C.FARM_OK, "the farm of contract definitions is reached"),
    2161: Meaning(_C.WARNING, "TWS adjusted the order's price or size"),
    2168: Meaning(_C.NOTICE, "a field of the request is no longer used"),
    2169: Meaning(_C.NOTICE, "a field of the request is no longer used"),
    10018: Meaning(_C.WARNING, "orders show an exchange's warning"),
    10019: Meaning(_C.WARNING, "trades show an exchange's warning"),
    10089: Meaning(_C.DATA_PERMISSION, "this market data needs a subscription for the API"),
    10090: Meaning(_C.DATA_PERMISSION, "part of this market data is not subscribed to"),
    10091: Meaning(_C.DATA_PERMISSION, "part of this market data needs a subscription for the API"),
    10147: Meaning(_C.CANCEL_REFUSED, "the order to cancel is not found"),
    10148: Meaning(_C.CANCEL_REFUSED, "the order to cancel has ended or is being cancelled"),
    10149: Meaning(_C.REQUEST_FAILED, "the contract details are not what TWS expects"),
    10167: Meaning(_C.DATA_DELAYED, "no subscription to this market data; delayed data come"),
    10168: Meaning(_C.DATA_PERMISSION, "no subscription to this market data, and delayed data were not asked for"),
    10172: Meaning(_C.REQUEST_FAILED, "a news article could not be had"),
    10182: Meaning(_C.DATA_ENDED, "live updates of a history were ended by a lost connection"),
    10185: Meaning(_C.REQUEST_ENDED, "there is no such P&L subscription (any more)"),
    10186: Meaning(_C.DATA_PERMISSION, "no subscription to this market data, and delayed data are off"),
    10187: Meaning(_C.REQUEST_FAILED, "historical ticks could not be had"),
    10189: Meaning(
        _C.REQUEST_FAILED, "tick-by-tick data are refused", (("no market data permissions", _C.DATA_PERMISSION),)
    ),
    10190: Meaning(_C.LINES, "all tick-by-tick lines are in use"),
    10197: Meaning(_C.DATA_COMPETING, "another session of this user has the market data"),
    10225: Meaning(_C.DATA_ENDED, "a bust: five-second bars are ended and must be asked for again"),
    10230: Meaning(_C.WARNING, "an adviser's changes are not saved"),
    10233: Meaning(_C.WARNING, "defaults of a preset were applied"),
    10276: Meaning(_C.REQUEST_FAILED, "this news feed is not allowed"),
    10285: Meaning(_C.REQUEST_FAILED, "the API version does not know fractional sizes; use a newer client"),
    10299: Meaning(_C.REQUEST_FAILED, "another kind of price must be asked for"),
    10311: Meaning(_C.ORDER_REJECTED, "directly routed orders are stopped by TWS's precautionary settings"),
    10314: Meaning(_C.REQUEST_FAILED, "a date or time that TWS does not read"),
    10349: Meaning(_C.WARNING, "the time in force was set by a preset"),
}  # fmt: skip

_RANGES: tuple[tuple[range, Meaning], ...] = (
    (range(111, 131), Meaning(_C.ORDER_REJECTED, "the terms of the order do not go together")),
    (range(132, 133), Meaning(_C.ORDER_REJECTED, "a clearing account must be named")),
    (range(137, 161), Meaning(_C.ORDER_REJECTED, "a term of the order is not allowed here")),
    (range(301, 309), Meaning(_C.REQUEST_FAILED, "the request's id or terms are not right")),
    (range(310, 311), Meaning(_C.REQUEST_ENDED, "there is no such line of market depth (any more)")),
    (range(312, 316), Meaning(_C.ORDER_REJECTED, "the terms of the combination are not right")),
    (range(316, 318), Meaning(_C.DATA_ENDED, "market depth was ended or must be read anew")),
    (range(318, 322), Meaning(_C.REQUEST_FAILED, "the request is not valid, or could not be read")),
    (range(323, 326), Meaning(_C.REQUEST_FAILED, "TWS could not process the request")),
    (range(327, 328), Meaning(_C.REQUEST_FAILED, "only client 0 may ask this")),
    (range(328, 354), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(355, 365), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(367, 382), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(384, 389), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(390, 399), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(400, 404), Meaning(_C.ORDER_REJECTED, "the terms of the order's algorithm are not valid")),
    (range(405, 407), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(408, 420), Meaning(_C.ORDER_REJECTED, "the order is not valid for this contract or exchange")),
    (range(421, 434), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(438, 456), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(510, 520), Meaning(_C.REQUEST_FAILED, "the client could not send it")),
    (range(521, 531), Meaning(_C.REQUEST_FAILED, "the client could not send it")),
    (range(532, 594), Meaning(_C.REQUEST_FAILED, "the client could not send it")),
    (range(10000, 10018), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(10020, 10028), Meaning(_C.ORDER_REJECTED, "the terms of the order are not valid")),
    (range(10234, 10276), Meaning(_C.ORDER_REJECTED, "a term of the order, or its size, is not allowed")),
    (range(10289, 10294), Meaning(_C.ORDER_REJECTED, "the order's quantity or permission is not right")),
)
"""Codes that Interactive Brokers documents in a row as one kind of thing."""

FARMS: Mapping[int, Farm] = {
    2103: Farm.MARKET,
    2104: Farm.MARKET,
    2108: Farm.MARKET,
    2119: Farm.MARKET,
    2105: Farm.HISTORY,
    2106: Farm.HISTORY,
    2107: Farm.HISTORY,
    2157: Farm.DEFINITIONS,
    2158: Farm.DEFINITIONS,
    2110: Farm.SERVER,
}
"""What is lost or found with each code of a farm. A farm's name is what follows the text's last colon."""


def _all() -> Iterator[tuple[int, Meaning]]:
    for codes, meaning in _RANGES:
        for code in codes:
            yield code, meaning
    yield from _SINGLE.items()


CODES: Mapping[int, Meaning] = dict(_all())
"""Every code that we know."""
_UNKNOWN = Meaning(_C.UNKNOWN, "a code that papertape does not know; new orders are halted until a person has looked")


def meaning(code: int) -> Meaning:
    """What a code means; of a code in no table that it is UNKNOWN."""
    return CODES.get(code, _UNKNOWN)


def classify(code: int, text: str) -> CodeClass:
    """The class of a code with its text, which decides where the code alone does not."""
    known = meaning(code)
    lower = text.lower()
    for fragment, of in known.by_text:
        if fragment in lower:
            return of
    return known.of


def farm_name(text: str) -> str:
    """The farm that a notice names ("Market data farm connection is OK:usfarm"); empty where it names none."""
    _, colon, name = text.rpartition(":")
    return name.strip() if colon else ""


def advice(code: int, text: str) -> str:
    """What a person can change where TWS answers so, as the names of TWS's own settings; empty where nothing is known.

    Names are those of TWS 10.x; that a read-only TWS answers orders with 321 is from users' reports.
    """
    lower = text.lower()
    return next((what for each, part, what in _ADVICE if each == code and part in lower), "")


_ADVICE = (
    (321, "read-only", 'in TWS, Global Configuration > API > Settings, switch off "Read-Only API"'),
    (354, "", "live data need a subscription in IB's Client Portal; --delayed takes delayed ones"),
    (10089, "", "live data for the API need a subscription in IB's Client Portal; --delayed takes delayed ones"),
    (10168, "", "delayed data are not switched on: --delayed takes them"),
    (10197, "", "another login of this user takes the data: end it, or let it have none"),
    (200, "", "check the symbol; --symbols and subscribe() take US stocks as TWS spells them, as BRK B"),
)
"""(code, part of the text, advice)."""
