"""Account data as clients ask for it: values, portfolio, positions, summaries, profit and loss.

Everything is sent when it is asked for and then when it changed: positions, portfolio and values at once after a fill;
values and portfolio otherwise every three minutes; profit and loss every second. Times are exchange time.

What a real TWS has not confirmed: that a mark which is not known is sent as unset (price, value, P&L; never as 0), and
values that need it are not sent; that a cancelled summary frees its place at once (one user saw TWS count request ids
instead); the texts that refuse a model, a group, or a request id that is in use.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from gateway.account_values import (
    Figures,
    Holding,
    Row,
    figures,
    holdings,
    in_base,
    multi_rows,
    summary_rows,
    update_rows,
)
from gateway.clients import Client
from gateway.costs import Costs
from gateway.protocol import replies, requests
from gateway.protocol.contract import Contract
from gateway.settings import GatewaySettings
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S

REFRESH_NS = 180 * NS_PER_S
"""How often values and portfolio are looked at where no position changes (IB.md section 3)."""
SUMMARIES_OPEN = 2
REQUESTS_OPEN = 100
"""Open requests of one kind that a client may have; TWS names no bound, a program that needs more has lost count."""

UNSUBSCRIBED = 2100, "API client has been unsubscribed from account data."
INVALID_ACCOUNT = 321, "Error validating request.-'bq' : cause - Invalid account code"
INVALID_MODEL = 321, "Error validating request.-'bq' : cause - Invalid model code"
INVALID_GROUP = 321, "Error validating request.-'bq' : cause - Group name is invalid"
TOO_MANY_SUMMARIES = (
    322,
    (
        "Error processing request.-'Q' : cause - Maximum number of account summary requests exceeded; "
        "desubscribe to previous request first"
    ),
)
DUPLICATE = 322, "Error processing request.-'bq' : cause - Duplicate ticker id"
TOO_MANY = 322, "Error processing request.-'bq' : cause - Maximum number of requests exceeded"
NO_POSITION = 2150, "Invalid position trade derived value"


class Names(Protocol):
    """How instruments are named to clients."""

    def wire(self, j: int) -> Contract:
        """An instrument as TWS describes it."""


_Key = tuple[int, int]
"""Number of the connection, and of the request on it."""
_Numbers = tuple[float, ...]


@dataclass(slots=True)
class _Values:
    """Account values that a client subscribed to, and what it was sent of them."""

    client: Client
    select: Callable[[Figures], list[Row]]
    reply: Callable[[Row], replies.Reply]
    next_ts: int
    sent: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(slots=True)
class _Portfolio:
    """A portfolio that a client subscribed to along with its values."""

    values: _Values
    sent: dict[int, _Numbers] = field(default_factory=dict)
    """By instrument: quantity, price, value, average cost, unrealised, realised."""


@dataclass(slots=True)
class _Positions:
    """Positions that a client subscribed to."""

    client: Client
    reply: Callable[[Contract, float, float], replies.Reply]
    sent: dict[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(slots=True)
class _Pnl:
    """Profit and loss that a client subscribed to; of one instrument or (None) of the account."""

    client: Client
    request: int
    instrument: int | None
    sent: _Numbers = ()


class AccountDesk:
    """Answers what clients ask about the account, and keeps their subscriptions up to date.

    Cash, marks and rates are the ``ledger``'s, quantities and costs ``costs``' (book every fill in both, then call
    :meth:`filled`). The ledger must be open. Memory: what each subscription was sent.
    """

    def __init__(self, settings: GatewaySettings, ledger: Ledger, contracts: Names, costs: Costs) -> None:
        self.settings = settings
        self.ledger = ledger
        self.costs = costs
        wire = [contracts.wire(j) for j in range(len(ledger.instruments))]
        self._by_con_id = {each.con_id: j for j, each in enumerate(wire)}
        self._portfolio_wire = [replace(each, exchange="") for each in wire]
        # both name the exchange that an instrument is listed on, not a route to it
        self._position_wire = [
            replace(each, exchange=each.primary_exchange or each.exchange, primary_exchange="") for each in wire
        ]
        self._zone = ZoneInfo(settings.zone)
        self._day_equity = ledger.account.equity
        self._portfolios: dict[int, _Portfolio] = {}
        self._multi: dict[_Key, _Values] = {}
        self._summaries: dict[_Key, _Values] = {}
        self._positions: dict[int, _Positions] = {}
        self._positions_multi: dict[_Key, _Positions] = {}
        self._pnl: dict[_Key, _Pnl] = {}
        self._pnl_single: dict[_Key, _Pnl] = {}

    # -- the account ---------------------------------------------------------------------------------------------------

    def figures(self) -> Figures:
        """The account as it is now."""
        settings = self.settings
        return figures(self.ledger, self.costs, settings.account, settings.rules.margin_multiple, self._day_equity)

    def begin_session(self, now: int) -> None:
        """A day begins: the day's realised and daily P&L count from here, positions closed before are no longer shown.

        ``now`` is UTC ns; fills at that time belong to the new day.
        """
        self.ledger.state.settle()
        marks = self.ledger.state.instruments["mark"]
        self.costs.begin_day(lambda j: float(marks[j]), now)
        self._day_equity = self.ledger.account.equity

    def resume(self, day_equity: float) -> None:
        """Go on with a day that began with a net liquidation of ``day_equity``; NaN where that is not known."""
        self._day_equity = day_equity

    # -- what happens --------------------------------------------------------------------------------------------------

    def filled(self, j: int, now: int) -> None:
        """An instrument's position changed (a fill, a bust, a correction, a split): tell who subscribed, at once."""
        self._send_position(j)
        if not self._portfolios and not self._multi:
            return
        now_figures = self.figures()
        for portfolio in self._portfolios.values():
            self._send_values(portfolio.values, now_figures)
            self._send_portfolio(portfolio, holdings(self.ledger, self.costs, [j]), now)
        for feed in self._multi.values():
            self._send_values(feed, now_figures)

    def second(self, now: int) -> None:
        """A second has passed: profit and loss that changed; values and portfolios that are due."""
        due = [each for each in self._feeds() if each.next_ts <= now]
        pnl = [*self._pnl.values(), *self._pnl_single.values()]
        if not due and not pnl:
            return
        if pnl:
            held = holdings(self.ledger, self.costs)
            for each in pnl:
                self._send_pnl(each, held)
        if due:
            self._refresh(due, now)

    def _refresh(self, due: list[_Values], now: int) -> None:
        now_figures = self.figures()
        for feed in due:
            feed.next_ts = now + REFRESH_NS
            self._send_values(feed, now_figures)
            portfolio = self._portfolios.get(feed.client.number)
            if portfolio is not None and portfolio.values is feed:
                self._send_portfolio(portfolio, now_figures.held, now)
                feed.client.send(replies.AccountTime(self._time(now)))

    def drop(self, client: Client) -> None:
        """A client has gone: its subscriptions end."""
        self._portfolios.pop(client.number, None)
        self._positions.pop(client.number, None)
        for table in (self._multi, self._summaries, self._positions_multi, self._pnl, self._pnl_single):
            for key in [key for key in table if key[0] == client.number]:
                del table[key]

    def _feeds(self) -> list[_Values]:
        return [
            *(each.values for each in self._portfolios.values()),
            *self._multi.values(),
            *self._summaries.values(),
        ]

    # -- sending -------------------------------------------------------------------------------------------------------

    def _time(self, now: int) -> str:
        moment = dt.datetime.fromtimestamp(now // NS_PER_S, dt.UTC).astimezone(self._zone)
        return f"{moment:%H:%M}"

    def _send_values(self, feed: _Values, now_figures: Figures) -> None:
        """Send the values that are not as they were sent last."""
        for row in feed.select(now_figures):
            key = (row.key, row.currency)
            if feed.sent.get(key) != row.value:
                feed.sent[key] = row.value
                feed.client.send(feed.reply(row))

    def _send_portfolio(self, portfolio: _Portfolio, held: Iterable[Holding], now: int) -> None:
        """Send the rows that are not as they were sent last, each with its time."""
        client = portfolio.values.client
        time = replies.AccountTime(self._time(now))
        for each in held:
            numbers = (each.quantity, each.price, each.value, each.average_cost, each.unrealised, each.realised)
            if _differ(portfolio.sent.get(each.instrument, ()), numbers):
                portfolio.sent[each.instrument] = numbers
                contract = self._portfolio_wire[each.instrument]
                client.send(replies.PortfolioValue(contract, *numbers, self.settings.account))
                client.send(time)

    def _send_position(self, j: int) -> None:
        basis = self.costs.basis(j)
        state = (basis.quantity, basis.average_cost)
        for feed in [*self._positions.values(), *self._positions_multi.values()]:
            if feed.sent.get(j, (0.0, 0.0)) != state:
                feed.sent[j] = state
                feed.client.send(feed.reply(self._position_wire[j], *state))

    def _send_pnl(self, feed: _Pnl, held: Sequence[Holding]) -> None:
        """Send profit and loss where it is not as it was sent last."""
        make: Callable[..., replies.Reply]
        if feed.instrument is None:
            make, numbers = replies.PnlUpdate, _account_pnl(held)
        else:
            make, numbers = (
                replies.PnlSingleUpdate,
                _position_pnl(holdings(self.ledger, self.costs, [feed.instrument])[0]),
            )
        if _differ(feed.sent, numbers):
            feed.sent = numbers
            feed.client.send(make(feed.request, *numbers))

    # -- requests ------------------------------------------------------------------------------------------------------

    def _is_ours(self, client: Client, request: int, account: str, model: str, now: int) -> bool:
        """Whether an account and model are those that exist; else the client is told."""
        refusal = None
        if account not in ("", self.settings.account):
            refusal = INVALID_ACCOUNT
        elif model:
            refusal = INVALID_MODEL
        if refusal is not None:
            client.error(request, *refusal, now)
        return refusal is None

    def _is_free(self, table: Mapping[_Key, Any], client: Client, request: int, now: int) -> bool:
        """Whether a request id may be used for one more subscription; else the client is told."""
        refusal = None
        if (client.number, request) in table:
            refusal = DUPLICATE
        elif sum(key[0] == client.number for key in table) >= REQUESTS_OPEN:
            refusal = TOO_MANY
        if refusal is not None:
            client.error(request, *refusal, now)
        return refusal is None

    def account_updates(self, client: Client, request: requests.AccountUpdates, now: int) -> None:
        """Values, portfolio, time, end; then what changes. Asked again, all is sent again."""
        if not self._is_ours(client, -1, request.account, "", now):
            return
        was_open = self._portfolios.pop(client.number, None)
        if not request.subscribe:
            if was_open is not None:
                client.error(-1, *UNSUBSCRIBED, now)
            return
        account = self.settings.account
        values = _Values(
            client,
            update_rows,
            lambda row: replies.AccountValue(row.key, row.value, row.currency, account),
            now + REFRESH_NS,
        )
        portfolio = self._portfolios[client.number] = _Portfolio(values)
        now_figures = self.figures()
        self._send_values(values, now_figures)
        self._send_portfolio(portfolio, now_figures.held, now)
        client.send(replies.AccountTime(self._time(now)))
        client.send(replies.AccountDownloadEnd(account))

    def account_updates_multi(self, client: Client, request: requests.AccountUpdatesMulti, now: int) -> None:
        """Values by request, and an end; then what changes."""
        number, account = request.request, self.settings.account
        if not self._is_ours(client, number, request.account, request.model, now):
            return
        if not self._is_free(self._multi, client, number, now):
            return
        feed = self._multi[client.number, number] = _Values(
            client,
            lambda f: multi_rows(f, request.ledger_and_nlv),
            lambda row: replies.AccountMulti(number, account, "", row.key, row.value, row.currency),
            now + REFRESH_NS,
        )
        self._send_values(feed, self.figures())
        client.send(replies.AccountMultiEnd(number))

    def cancel_account_updates_multi(
        self, client: Client, request: requests.CancelAccountUpdatesMulti, now: int
    ) -> None:
        """End that; one that is not open is none."""
        self._multi.pop((client.number, request.request), None)

    def account_summary(self, client: Client, request: requests.AccountSummary, now: int) -> None:
        """Values by tag, and an end; then every three minutes what changed. A request id that is open starts anew."""
        number, account = request.request, self.settings.account
        if request.group != "All":
            client.error(number, *INVALID_GROUP, now)
            return
        tags = tuple(dict.fromkeys(tag.strip() for tag in request.tags.split(",") if tag.strip()))
        self._summaries.pop((client.number, number), None)
        if sum(key[0] == client.number for key in self._summaries) >= SUMMARIES_OPEN:
            client.error(number, *TOO_MANY_SUMMARIES, now)
            return
        feed = self._summaries[client.number, number] = _Values(
            client,
            lambda f: summary_rows(f, tags),
            lambda row: replies.SummaryRow(number, account, row.key, row.value, row.currency),
            now + REFRESH_NS,
        )
        self._send_values(feed, self.figures())
        client.send(replies.SummaryEnd(number))

    def cancel_account_summary(self, client: Client, request: requests.CancelAccountSummary, now: int) -> None:
        """End that; one that is not open is none."""
        self._summaries.pop((client.number, request.request), None)

    def positions(self, client: Client, request: requests.Positions, now: int) -> None:
        """All that is held or was closed today (as 0), and an end; then what changes. Asked again, all is sent again."""
        account = self.settings.account
        feed = self._positions[client.number] = _Positions(
            client, lambda contract, quantity, cost: replies.PositionRow(account, contract, quantity, cost)
        )
        self._send_all_positions(feed)
        client.send(replies.PositionEnd())

    def cancel_positions(self, client: Client, request: requests.CancelPositions, now: int) -> None:
        """End that."""
        self._positions.pop(client.number, None)

    def positions_multi(self, client: Client, request: requests.PositionsMulti, now: int) -> None:
        """The same by request."""
        number, account = request.request, self.settings.account
        if not self._is_ours(client, number, request.account, request.model, now):
            return
        if not self._is_free(self._positions_multi, client, number, now):
            return
        feed = self._positions_multi[client.number, number] = _Positions(
            client, lambda contract, quantity, cost: replies.PositionMulti(number, account, contract, quantity, cost)
        )
        self._send_all_positions(feed)
        client.send(replies.PositionMultiEnd(number))

    def cancel_positions_multi(self, client: Client, request: requests.CancelPositionsMulti, now: int) -> None:
        """End that; one that is not open is none."""
        self._positions_multi.pop((client.number, request.request), None)

    def _send_all_positions(self, feed: _Positions) -> None:
        for j in self.costs.known:
            basis = self.costs.basis(j)
            feed.sent[j] = (basis.quantity, basis.average_cost)
            feed.client.send(feed.reply(self._position_wire[j], *feed.sent[j]))

    def pnl(self, client: Client, request: requests.Pnl, now: int) -> None:
        """The account's profit and loss now; then each second in which it changed."""
        if not self._is_ours(client, request.request, request.account, request.model, now):
            return
        if self._is_free(self._pnl, client, request.request, now):
            feed = self._pnl[client.number, request.request] = _Pnl(client, request.request, None)
            self._send_pnl(feed, holdings(self.ledger, self.costs))

    def cancel_pnl(self, client: Client, request: requests.CancelPnl, now: int) -> None:
        """End that; one that is not open is none."""
        self._pnl.pop((client.number, request.request), None)

    def pnl_single(self, client: Client, request: requests.PnlSingle, now: int) -> None:
        """One position's profit and loss now; then each second in which it changed."""
        if not self._is_ours(client, request.request, request.account, request.model, now):
            return
        if not self._is_free(self._pnl_single, client, request.request, now):
            return
        j = self._by_con_id.get(request.con_id)
        if j is None:
            client.error(request.request, *NO_POSITION, now)
            return
        feed = self._pnl_single[client.number, request.request] = _Pnl(client, request.request, j)
        self._send_pnl(feed, holdings(self.ledger, self.costs))

    def cancel_pnl_single(self, client: Client, request: requests.CancelPnlSingle, now: int) -> None:
        """End that; one that is not open is none."""
        self._pnl_single.pop((client.number, request.request), None)


def _differ(sent: _Numbers, numbers: _Numbers) -> bool:
    """Whether numbers say something else than those before them; what is unknown in both is the same."""
    if len(sent) != len(numbers):
        return True
    return any(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in zip(sent, numbers, strict=True))


def _account_pnl(held: Sequence[Holding]) -> _Numbers:
    """Daily, unrealised and realised, in base currency."""
    daily = math.fsum(in_base(each.daily, each.rate) for each in held)
    unrealised = math.fsum(in_base(each.unrealised, each.rate) for each in held)
    return daily, unrealised, math.fsum(in_base(each.realised, each.rate) for each in held)


def _position_pnl(each: Holding) -> _Numbers:
    """Quantity, daily, unrealised, realised and value, in its own currency.

    Realised is unset where it was not traded today, as a real TWS has it.
    """
    realised = each.realised if each.traded else math.nan
    return each.quantity, each.daily, each.unrealised, realised, each.value


HANDLERS: Mapping[type, Callable[[AccountDesk, Client, Any, int], None]] = {
    requests.AccountUpdates: AccountDesk.account_updates,
    requests.AccountUpdatesMulti: AccountDesk.account_updates_multi,
    requests.CancelAccountUpdatesMulti: AccountDesk.cancel_account_updates_multi,
    requests.AccountSummary: AccountDesk.account_summary,
    requests.CancelAccountSummary: AccountDesk.cancel_account_summary,
    requests.Positions: AccountDesk.positions,
    requests.CancelPositions: AccountDesk.cancel_positions,
    requests.PositionsMulti: AccountDesk.positions_multi,
    requests.CancelPositionsMulti: AccountDesk.cancel_positions_multi,
    requests.Pnl: AccountDesk.pnl,
    requests.CancelPnl: AccountDesk.cancel_pnl,
    requests.PnlSingle: AccountDesk.pnl_single,
    requests.CancelPnlSingle: AccountDesk.cancel_pnl_single,
}
"""Request -> what the desk does about it."""
