"""What is right and wrong with a TWS, found out without giving an order: each finding with the setting to change.

It speaks through the bare connection, not through a session that trades, so that what hinders a session can be told. The
one order that it makes is a what-if: TWS says what it would cost and gives it to nobody.

Names of settings are those of TWS 10.x, Global Configuration > API; which text TWS answers with in read-only mode is from
users' reports. No real TWS has confirmed either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from brokers.ib import codes, compat
from brokers.ib.codes import CodeClass
from brokers.ib.commands import AskContract, AskTime, Command, FollowMarket, PlaceOrder, SetMarketDataType, StopMarket
from brokers.ib.gateway import IbGateway
from brokers.ib.records import (
    Connected,
    ContractDetails,
    ContractDetailsEnd,
    ContractRecord,
    CurrentTime,
    Disconnected,
    ErrorMessage,
    ManagedAccounts,
    MarketDataType,
    NextValidId,
    OpenOrder,
    OrderRecord,
    Record,
    TickPrice,
    TickString,
)
from brokers.ib.translate import contract_of, is_paper_account
from papertape.core.errors import PeerError, UserError
from papertape.core.model import Instrument
from papertape.live.clock import WallClock
from papertape.live.screen_lines import span
from papertape.live.settings import LIVE_PORTS, PAPER_PORTS, Address

CONNECT_S = 10.0
ANSWER_S = 8.0
QUIET_S = 0.5
"""How long the opening notices may take after the first valid id."""
CLOCK_WARN_S = 2.0
OLD_SERVER = 176
"""TWS of 2023; older ones lack fixes."""
_DAY_S = 86_400.0
_POLL_S = 0.05
_LIVE, _FROZEN, _DELAYED, _DELAYED_FROZEN = 1, 2, 3, 4
_NOTHING = -1.0
API_SETTINGS = "Global Configuration > API > Settings"
PRECAUTIONS = "Global Configuration > API > Precautions"

R = TypeVar("R")
K = TypeVar("K", bound=Record)


class Level(StrEnum):
    """How much a finding matters. Only BAD makes the doctor fail."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a TWS. ``setting`` is what to change there, empty where nothing is to be."""

    level: Level
    what: str
    text: str
    setting: str = ""


@dataclass(slots=True)
class _Talk:
    """A conversation over a bare connection."""

    gateway: IbGateway
    asked_ns: int = 0
    clock: WallClock = field(default_factory=WallClock)
    heard: list[Record] = field(default_factory=list)
    ended: str = ""

    def until(self, is_it: Callable[[Record], R | None], timeout_s: float | None = None) -> R | None:
        """What the first record that is such a one gives; None where none came in time."""
        deadline = time.monotonic() + (ANSWER_S if timeout_s is None else timeout_s)
        while not self.ended and time.monotonic() < deadline:
            found = None
            for record in self.gateway.poll(_POLL_S):
                self.heard.append(record)
                if isinstance(record, CurrentTime):
                    self.clock.heard(record.ts_s, self.asked_ns)
                if isinstance(record, Disconnected):
                    self.ended = record.reason
                found = found if found is not None else is_it(record)
            if found is not None:
                return found
        return None

    def send(self, command: Command) -> None:
        """Send a request."""
        if isinstance(command, AskTime):
            self.asked_ns = time.monotonic_ns()
        self.gateway.send(command)

    def of(self, kind: type[K]) -> list[K]:
        """What was heard of a kind."""
        return [record for record in self.heard if isinstance(record, kind)]


def examine(address: Address, *, client_id: int, symbol: str) -> list[Finding]:
    """Everything that can be found out about the TWS at an address. Takes some seconds, at most about a minute."""
    gateway = IbGateway()
    try:
        try:
            gateway.connect(address.host, address.port, client_id, CONNECT_S)
        except (PeerError, UserError) as error:
            return [_not_connected(str(error), address)]
        talk = _Talk(gateway)
        findings = [Finding(Level.OK, "connection", f"{address} speaks TWS's protocol")]
        first_id = talk.until(lambda each: each if isinstance(each, NextValidId) else None)
        if first_id is None:
            return [*findings, _not_taken(talk, client_id)]
        talk.until(_never, QUIET_S)
        findings += [_versions(talk, gateway), *_accounts(talk, address), _clock(talk), *_farms(talk)]
        contract, about_contract = _contract(talk, symbol, first_id.order_id)
        findings.append(about_contract)
        if contract is not None:
            findings.append(_data(talk, contract, first_id.order_id + 1))
            findings.append(_orders(talk, contract, first_id.order_id + 2))
        if talk.ended:
            findings.append(Finding(Level.BAD, "connection", f"TWS ended it meanwhile: {talk.ended}"))
        return [*findings, *_UNSEEN]
    finally:
        gateway.close()


def _never(record: Record) -> None:
    return None


# -- findings ------------------------------------------------------------------------------------------------------


def _not_connected(text: str, address: Address) -> Finding:
    setting = (
        f'{API_SETTINGS}: switch on "Enable ActiveX and Socket Clients" (IB Gateway has it on), set "Socket port" to '
        f'{address.port}, and either switch off "Allow connections from localhost only" and add this computer to '
        '"Trusted IPs", or run on the same computer'
    )
    return Finding(Level.BAD, "connection", text, setting)


def _not_taken(talk: _Talk, client_id: int) -> Finding:
    """The handshake worked, and TWS does not take this client."""
    busy = [each for each in talk.of(ErrorMessage) if codes.classify(each.code, each.text) is CodeClass.ID_IN_USE]
    if busy:
        return Finding(
            Level.BAD, "client id", f"{client_id} is in use by another program; name another one with --client-id"
        )
    said = "; ".join(each.text for each in talk.of(ErrorMessage)) or talk.ended or "nothing more came"
    setting = (
        "look at TWS's window: it may ask whether to accept the connection, or wait for a login; "
        f'{API_SETTINGS}: "Trusted IPs" spares the question'
    )
    return Finding(Level.BAD, "connection", f"TWS took the connection and not the client: {said}", setting)


def _versions(talk: _Talk, gateway: IbGateway) -> Finding:
    zone = "".join(each.time_text for each in talk.of(Connected))
    text = f"server version {gateway.server_version}, client {gateway.client_version}; it was {zone}"
    if gateway.server_version < OLD_SERVER and compat.load().server_version_max < OLD_SERVER:
        return Finding(Level.WARNING, "versions", f"{text}; the client is old", f"{compat.INSTALL} brings a newer one")
    if gateway.server_version < OLD_SERVER:
        return Finding(
            Level.WARNING, "versions", text, "update TWS: Help > Check for Updates, or a newer offline version"
        )
    return Finding(Level.OK, "versions", text)


def _accounts(talk: _Talk, address: Address) -> list[Finding]:
    names = [name for each in talk.of(ManagedAccounts) for name in each.accounts if name]
    if not names:
        return [Finding(Level.BAD, "account", "TWS named no account; is somebody logged in?")]
    kinds = {name: "paper" if is_paper_account(name) else "LIVE" for name in dict.fromkeys(names)}
    text = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    findings = [Finding(Level.OK if "LIVE" not in kinds.values() else Level.NOTE, "account", text)]
    if len(kinds) > 1:
        findings.append(Finding(Level.NOTE, "account", "there are several: name one with --account"))
    usual = "paper" if address.port in PAPER_PORTS else "LIVE" if address.port in LIVE_PORTS else ""
    if usual and any(kind != usual for kind in kinds.values()):
        text = f"port {address.port} is usually that of a {usual.lower()} account, and this is another kind"
        findings.append(Finding(Level.WARNING, "port", text, f'{API_SETTINGS}: "Socket port"'))
    return findings


def _clock(talk: _Talk) -> Finding:
    talk.send(AskTime())
    answer = talk.until(lambda each: each if isinstance(each, CurrentTime) else None)
    if answer is None:
        return Finding(Level.BAD, "clock", f"TWS did not tell its time within {ANSWER_S:g} s: it may hang; restart it")
    difference = talk.clock.difference_s
    if abs(difference) < CLOCK_WARN_S:
        return Finding(Level.OK, "clock", "agrees with this computer's")
    side = "ahead of" if difference > 0 else "behind"
    text = f"TWS's clock is {span(abs(difference))} {side} this computer's; papertape goes by TWS's"
    if abs(difference) > _DAY_S:
        return Finding(Level.WARNING, "clock", f"{text}; is its market a simulated one?")
    return Finding(Level.WARNING, "clock", text, "set this computer's clock by a time server")


_FARM_TEXTS: Mapping[CodeClass, tuple[Level, str]] = {
    CodeClass.FARM_DOWN: (Level.WARNING, "not reached"),
    CodeClass.CONNECTION_LOST: (Level.BAD, "TWS has no connection to Interactive Brokers"),
}


def _farms(talk: _Talk) -> list[Finding]:
    """What the notices say that TWS opens with."""
    found = [(_FARM_TEXTS.get(codes.classify(each.code, each.text)), each) for each in talk.of(ErrorMessage)]
    bad = [Finding(say[0], "servers", f"{say[1]}: {each.text}") for say, each in found if say is not None]
    return bad or [Finding(Level.OK, "servers", "no data farm is reported as lost")]


def _contract(talk: _Talk, symbol: str, request_id: int) -> tuple[ContractRecord | None, Finding]:
    talk.send(AskContract(request_id, contract_of(Instrument(symbol), 0)))

    def answered(record: Record) -> ContractDetails | ContractDetailsEnd | ErrorMessage | None:
        is_one = isinstance(record, ContractDetails | ContractDetailsEnd | ErrorMessage)
        return record if is_one and getattr(record, "request_id", None) == request_id else None  # type: ignore[return-value]

    answer = talk.until(answered)
    if isinstance(answer, ContractDetails):
        found = answer.contract
        place = found.primary_exchange or found.exchange
        return found, Finding(Level.OK, "contract", f"{symbol} is {answer.long_name or symbol} at {place}")
    said = answer.text if isinstance(answer, ErrorMessage) else "no answer"
    text = f"{symbol} is not known: {said}; data and orders are not looked at, name another one with --symbol"
    return None, Finding(Level.WARNING, "contract", text)


def _data(talk: _Talk, contract: ContractRecord, request_id: int) -> Finding:
    """Which market data come: live, delayed or none."""
    talk.send(SetMarketDataType(_DELAYED))
    talk.send(FollowMarket(request_id, contract, "233"))
    kinds: list[int] = []
    errors: list[ErrorMessage] = []

    def heard(record: Record) -> bool | None:
        if isinstance(record, MarketDataType) and record.request_id == request_id:
            kinds.append(record.type)
        elif isinstance(record, ErrorMessage) and record.request_id == request_id:
            errors.append(record)
            is_last = codes.classify(record.code, record.text) is not CodeClass.DATA_DELAYED
            return True if is_last else None
        is_price = isinstance(record, TickPrice) and record.request_id == request_id and record.price != _NOTHING
        return True if is_price or (isinstance(record, TickString) and record.request_id == request_id) else None

    came = talk.until(heard)
    talk.send(StopMarket(request_id))
    symbol = contract.symbol
    remedy = (
        "Client Portal > Settings > Market Data Subscriptions (a live account; a paper account takes part where "
        '"Share real-time market data subscriptions with your paper trading account" is on)'
    )
    kind = kinds[-1] if kinds else _LIVE
    said = "".join(f"; TWS says {each.code}: {each.text}" for each in errors[-1:])
    if kind in (_DELAYED, _DELAYED_FROZEN) or any(
        codes.classify(each.code, each.text) is CodeClass.DATA_DELAYED for each in errors
    ):
        text = f"{symbol}: delayed by a quarter of an hour{said}; paper takes that and says so, live refuses it"
        return Finding(Level.WARNING, "market data", text, remedy)
    if errors:
        return Finding(Level.WARNING, "market data", f"{symbol}: none{said}", remedy)
    if came is None:
        text = f"{symbol}: permitted, but nothing came within {ANSWER_S:g} s; the market may be closed"
        return Finding(Level.NOTE, "market data", text)
    return Finding(Level.OK, "market data", f"{symbol}: live")


def _orders(talk: _Talk, contract: ContractRecord, order_id: int) -> Finding:
    """Whether orders are taken, by one that TWS only thinks through."""
    account = next((name for each in talk.of(ManagedAccounts) for name in each.accounts if name), "")
    order = OrderRecord("BUY", 1.0, "MKT", account=account, what_if=True, order_ref="papertape-doctor")
    talk.send(PlaceOrder(order_id, contract, order))

    def answered(record: Record) -> OpenOrder | ErrorMessage | None:
        if isinstance(record, OpenOrder) and record.order_id == order_id:
            return record
        is_end = (
            isinstance(record, ErrorMessage)
            and record.request_id == order_id
            and codes.classify(record.code, record.text) not in (CodeClass.WARNING, CodeClass.NOTICE)
        )
        return record if is_end and isinstance(record, ErrorMessage) else None

    answer = talk.until(answered)
    if isinstance(answer, OpenOrder):
        cost = (
            "" if answer.commission != answer.commission else f" (a share would cost {answer.commission:.2f} in fees)"
        )
        return Finding(Level.OK, "orders", f"TWS takes orders{cost}; none was given")
    if not isinstance(answer, ErrorMessage):
        return Finding(Level.WARNING, "orders", f"no answer to a what-if order within {ANSWER_S:g} s",
                       "look at TWS's window: it may ask something")  # fmt: skip
    if "read-only" in answer.text.lower():
        return Finding(
            Level.WARNING, "orders", f"TWS takes none: {answer.text}",
            f'{API_SETTINGS}: switch off "Read-Only API", if papertape is to trade; leave it on to be safe from it',
        )  # fmt: skip
    return Finding(Level.WARNING, "orders", f"TWS refused a what-if order: {answer.code}: {answer.text}")


_UNSEEN = (
    Finding(
        Level.NOTE, "not visible from here", "who else may change this account's orders",
        f'{API_SETTINGS}: leave "Master API client ID" empty, unless one program is to hear of all orders',
    ),
    Finding(
        Level.NOTE, "not visible from here", "questions that TWS asks in its window hold orders back",
        f'{PRECAUTIONS}: "Bypass Order Precautions for API Orders" lets orders through that TWS would ask about; '
        "papertape's guard then stands alone",
    ),
    Finding(
        Level.NOTE, "not visible from here", "TWS ends each day at the time that is set",
        'Global Configuration > Lock and Exit: "Auto restart" instead of "Auto logoff" keeps a session over night',
    ),
    Finding(
        Level.NOTE, "not visible from here", "open orders of other programs",
        f'{API_SETTINGS}: leave "Download open orders on connection" on; "Create API message log file" shows what was said',
    ),
)  # fmt: skip
