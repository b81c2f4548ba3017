"""The desks for market data as one: each event, each second and each client that leaves goes to all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway import quotes
from gateway.clients import Client
from gateway.contracts import Contracts
from gateway.market import Market, Step
from gateway.quotes import QuotesDesk
from gateway.settings import GatewaySettings


class MarketDesks:
    """Streaming data, bars, scans and contract data of one TWS."""

    def __init__(self, settings: GatewaySettings, market: Market, contracts: Contracts) -> None:
        self.quotes = QuotesDesk(settings, market, contracts)

    def tables(self) -> list[tuple[Any, Mapping[type, Callable[..., None]]]]:
        """Each desk with what it answers."""
        return [(self.quotes, quotes.HANDLERS)]

    def publish(self, part: Step, k: int, now: int) -> None:
        """Event ``k`` of a part of the tape has happened, and was matched."""
        self.quotes.publish(part, k, now)

    def second(self, now: int) -> None:
        """A full second has come."""
        self.quotes.second(now)

    def drop(self, client: Client) -> None:
        """A client has gone, or TWS has lost its data: its subscriptions end."""
        self.quotes.drop(client)
