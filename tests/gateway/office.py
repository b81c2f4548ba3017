"""An account desk on open books, asked and heard without sockets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from brokers.sim import FillRules
from gateway.account import HANDLERS, AccountDesk
from gateway.clients import Client
from gateway.contracts import Contracts
from gateway.costs import Costs
from gateway.protocol import replies, requests
from gateway.settings import GatewaySettings
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, Instrument, InstrumentType
from papertape.core.state import State

ACCOUNT = "DU1234567"
NOON = 1_704_301_200 * NS_PER_S  # 2024-01-03 12:00 in New York
STOCKS = (
    Instrument("AAPL", con_id=265598, exchange="NASDAQ"),
    Instrument("SAP", currency="EUR", con_id=14204, exchange="IBIS"),
    Instrument("MSFT", con_id=272093, exchange="NASDAQ"),
)
FUTURE = Instrument("ESH24", InstrumentType.FUTURE, con_id=495512563, exchange="CME", multiplier=50.0)


class Office:
    """A desk with open books in USD (and EUR), and clients that hear from it."""

    def __init__(self, *instruments: Instrument, rate: float = 1.25, multiple: float = 2.0, **cash: float) -> None:
        instruments = instruments or STOCKS
        cash = cash or {"USD": 100_000.0}
        currencies = tuple(dict.fromkeys([*cash, *(each.currency for each in instruments)]))
        self.ledger = Ledger(State(len(instruments), len(currencies)), instruments, currencies)
        self.ledger.open(cash, {"EUR": rate})
        self.costs = Costs([each.multiplier for each in instruments])
        rules = FillRules(margin_multiple=multiple, allow_short=True)
        self.settings = GatewaySettings(ACCOUNT, cash, rules=rules)
        self.desk = AccountDesk(self.settings, self.ledger, Contracts(instruments), self.costs)
        self.now = NOON
        self._number = 0
        self.one = self.client()

    def client(self) -> Client:
        """One more client."""
        self._number += 1
        client = Client(self._number, 200)
        client.id = self._number
        return client

    def ask(self, request: object, client: Client | None = None) -> list[Any]:
        """What a request brings."""
        client = client or self.one
        HANDLERS[type(request)](self.desk, client, request, self.now)
        return client.take()

    def fill(self, j: int, quantity: float, price: float, fee: float = 1.0) -> list[Any]:
        """Book a fill and tell; what client 1 hears."""
        self._number += 1
        self.ledger.book_fill(j, quantity, price, fee, self.now)
        self.costs.fill(j, str(self._number), quantity, price, fee)
        self.mark(j, price)
        self.desk.filled(j, self.now)
        return self.one.take()

    def mark(self, j: int, price: float) -> None:
        """A trade in the market: the instrument is marked at its price."""
        self.ledger.note_image(j, price, math.nan, math.nan, self.now)
        instrument = self.ledger.instruments[j]
        rates = self.ledger.state.rates
        self.ledger.set_rate(instrument.currency, float(rates[self.ledger.currencies.index(instrument.currency)]))

    def wait(self, seconds: int) -> list[Any]:
        """Seconds pass one by one; what client 1 hears."""
        for _ in range(seconds):
            self.now += NS_PER_S
            self.desk.second(self.now)
        return self.one.take()


def of(kind: type, heard: Iterable[Any]) -> list[Any]:
    """Replies of one kind."""
    return [each for each in heard if type(each) is kind]


def values(heard: Iterable[Any]) -> dict[tuple[str, str], str]:
    """Account values as (key, currency) -> text."""
    found: dict[tuple[str, str], str] = {}
    for each in heard:
        if isinstance(each, replies.AccountValue | replies.AccountMulti):
            found[each.key, each.currency] = each.value
        elif isinstance(each, replies.SummaryRow):
            found[each.tag, each.currency] = each.value
    return found


UPDATES = requests.AccountUpdates(True, ACCOUNT)
