"""The desks for everything but orders and the account, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway import definitions, history, quotes, scanners
from gateway.clients import Client
from gateway.contracts import Contracts
from gateway.market import Market, Step
from gateway.settings import GatewaySettings


class MarketDesks:
    """Market data, history, scans and definitions."""

    def __init__(self, settings: GatewaySettings, market: Market, contracts: Contracts) -> None:
        self.quotes = quotes.QuotesDesk(settings, market, contracts)
        self.history = history.HistoryDesk(settings, market, contracts)
        self.scanners = scanners.ScannersDesk(settings, market, contracts)
        self.definitions = definitions.DefinitionsDesk(settings, market, contracts)
        self.publish: Callable[[Step, int, int], None] = self.quotes.publish
        """Event ``k`` of a step's batch has happened and was matched, at ``now``: (step, k, now)."""

    def tables(self) -> tuple[tuple[object, Mapping[type, Callable[..., None]]], ...]:
        """Each desk with its table of request class -> method."""
        return (
            (self.quotes, quotes.HANDLERS),
            (self.history, history.HANDLERS),
            (self.scanners, scanners.HANDLERS),
            (self.definitions, definitions.HANDLERS),
        )

    def second(self, now: int) -> None:
        """A full second of exchange time, before its events."""
        self.quotes.second(now)
        self.scanners.second(now)

    def second_played(self, now: int) -> None:
        """Its events have happened: bars that end with them are known."""
        self.history.second(now)

    def drop(self, client: Client) -> None:
        """A connection has ended: what it subscribed to ends with it."""
        self.quotes.drop(client)
        self.history.drop(client)
        self.scanners.drop(client)
