"""What is owned and owed: views of the state's positions and cash, and the entries that are not fills."""

from __future__ import annotations

from collections.abc import Sequence

from papertape.core.marking import apply_fill, base_cash, mark_price, position_value, set_value
from papertape.core.model import Instrument
from papertape.core.state import State


class Position:
    """One instrument's position, counting what is in flight. Always present; flat where nothing is held."""

    __slots__ = ("_buying", "_j", "_quantity", "_records", "_selling", "_state", "symbol")

    def __init__(self, state: State, j: int, symbol: str) -> None:
        self._state = state
        self._records = state.instruments
        self._j = j
        self.symbol = symbol
        # readers of single fields: a strategy may ask at every event
        self._quantity = state.instruments["quantity"].item
        self._buying = state.instruments["working_buy"].item
        self._selling = state.instruments["working_sell"].item

    @property
    def quantity(self) -> float:
        """Filled quantity; negative when short."""
        quantity: float = self._quantity(self._j)
        return quantity

    @property
    def committed(self) -> float:
        """Filled quantity plus working buys minus working sells: what it will be when all that works has filled."""
        j = self._j
        committed: float = self._quantity(j) + self._buying(j) - self._selling(j)
        return committed

    @property
    def sellable(self) -> float:
        """What can be sold without going short: filled minus working sells, never below 0."""
        left: float = self._quantity(self._j) - self._selling(self._j)
        return max(0.0, left)

    @property
    def average_cost(self) -> float:
        """Average price paid per unit, fees not included; 0 when flat."""
        return float(self._records["average_cost"][self._j])

    @property
    def mark(self) -> float:
        """The price at which it is marked; NaN while none is known."""
        self._state.settle()
        return float(self._records["mark"][self._j])

    @property
    def unrealised(self) -> float:
        """Unrealised P&L in the instrument's currency, before fees."""
        self._state.settle()
        r = self._records[self._j]
        return float((r["mark"] - r["average_cost"]) * r["quantity"] * r["multiplier"]) if r["quantity"] != 0 else 0.0

    @property
    def realised(self) -> float:
        """Realised P&L of the run in the instrument's currency, before fees."""
        return float(self._records["realised"][self._j])

    @property
    def fees(self) -> float:
        """Fees paid for this instrument in the run."""
        return float(self._records["fees"][self._j])

    def __bool__(self) -> bool:
        return self.quantity != 0.0

    def __repr__(self) -> str:
        return f"<Position {self.symbol}: {self.quantity:g} at {self.average_cost:g}>"


class Account:
    """The account as of now: cash per currency, net liquidation, peak."""

    __slots__ = ("_currencies", "_state")

    def __init__(self, state: State, currencies: Sequence[str]) -> None:
        self._state = state
        self._currencies = tuple(currencies)

    @property
    def equity(self) -> float:
        """Net liquidation: cash plus marked positions, in base currency."""
        self._state.settle()
        return float(self._state.account["cash"][0] + self._state.tree[1])

    @property
    def cash(self) -> float:
        """All cash in base currency."""
        return float(self._state.account["cash"][0])

    @property
    def balances(self) -> dict[str, float]:
        """Cash per currency."""
        return {name: float(amount) for name, amount in zip(self._currencies, self._state.cash, strict=True)}

    @property
    def peak(self) -> float:
        """Highest net liquidation of the run so far."""
        self._state.settle()
        return float(self._state.account["peak"][0])

    def __repr__(self) -> str:
        return f"<Account: equity {self.equity:,.2f}, cash {self.cash:,.2f}>"


class Ledger:
    """The books of a run. Fills change the state in compiled code; what else does is here."""

    __slots__ = ("account", "base", "by_symbol", "currencies", "instruments", "positions", "state")

    def __init__(self, state: State, instruments: Sequence[Instrument], currencies: Sequence[str]) -> None:
        self.state = state
        self.instruments = tuple(instruments)
        self.currencies = tuple(currencies)
        self.base = self.currencies[0]
        self.account = Account(state, currencies)
        self.positions = [Position(state, j, each.symbol) for j, each in enumerate(instruments)]
        self.by_symbol = {each.symbol: each for each in self.positions}

    def add(self, instrument: Instrument) -> int:
        """Keep books on one more instrument; the state has room for as many as it was made for. Returns its index."""
        j = len(self.instruments)
        assert j < len(self.state.instruments), "the state was made for fewer instruments"
        self.instruments = (*self.instruments, instrument)
        self.positions.append(Position(self.state, j, instrument.symbol))
        self.by_symbol[instrument.symbol] = self.positions[j]
        self._enter(j)
        return j

    def _enter(self, j: int) -> None:
        record, instrument = self.state.instruments[j], self.instruments[j]
        record["multiplier"] = instrument.multiplier
        record["currency"] = self.currencies.index(instrument.currency)
        record["rate"] = self.state.rates[record["currency"]]

    def open(self, cash: dict[str, float], rates: dict[str, float]) -> None:
        """Start the books: balances per currency, and base currency per unit of each (the base's own is 1)."""
        state = self.state
        for c, name in enumerate(self.currencies):
            state.cash[c] = cash.get(name, 0.0)
            state.rates[c] = 1.0 if name == self.base else rates.get(name, float("nan"))
        for j in range(len(self.instruments)):
            self._enter(j)
        account = state.account[0]
        account["cash"] = base_cash(state.cash, state.rates)
        account["equity"] = account["cash"]
        account["peak"] = account["cash"]

    def deposit(self, currency: str, amount: float) -> None:
        """Book cash that is no trade: a dividend, a deposit, a withdrawal (negative)."""
        state = self.state
        state.cash[self.currencies.index(currency)] += amount
        state.account["cash"] = base_cash(state.cash, state.rates)
        state.account["equity"] = state.account["cash"] + state.tree[1]

    def set_rate(self, currency: str, rate: float) -> None:
        """A new exchange rate, base currency per unit: cash and positions of that currency are worth it from now."""
        state = self.state
        c = self.currencies.index(currency)
        state.rates[c] = rate
        for j in range(len(self.instruments)):
            if state.instruments["currency"][j] == c:
                state.instruments["rate"][j] = rate
                self._remark(j)
        state.account["cash"] = base_cash(state.cash, state.rates)
        state.account["equity"] = state.account["cash"] + state.tree[1]

    def split(self, j: int, ratio: float) -> None:
        """``ratio`` new units for one old: quantity, cost and known prices change, value does not."""
        record = self.state.instruments[j]
        record["quantity"] *= ratio
        for name in ("average_cost", "last", "bid", "ask", "mark", "low", "high"):
            record[name] /= ratio
        self._remark(j)

    def note_image(self, j: int, last: float, bid: float, ask: float, ts: int) -> None:
        """Take an instrument's last known prices where nothing newer is known. Not an event: nothing is woken."""
        record = self.state.instruments[j]
        if last == last and record["last_ts"] <= ts:
            record["last"] = last
            record["last_ts"] = ts
        if bid == bid and ask == ask and record["quote_ts"] < ts:
            record["bid"] = bid
            record["ask"] = ask
            record["quote_ts"] = ts
        record["mark"] = mark_price(self.state.instruments[j], ts)
        self._remark(j)

    def book_fill(self, j: int, signed_quantity: float, price: float, fee: float, ts: int) -> None:
        """Book an execution that a broker reported (a simulated one books its own while it matches)."""
        apply_fill(self.state.books(), j, signed_quantity, price, fee, ts)

    def _remark(self, j: int) -> None:
        record = self.state.instruments[j]
        held = record["quantity"] != 0.0
        value = position_value(record, record["mark"]) if held else 0.0
        set_value(self.state.tree, j, value)
