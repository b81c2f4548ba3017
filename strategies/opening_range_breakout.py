"""Opening range breakout: follow the direction of the session's first bar, with a stop at its other end."""

from papertape import Bar, Side, Strategy, TimeEvent, parameter


class OpeningRangeBreakout(Strategy):
    """Enter in the direction of the session's first bar at the open of the second; leave on a stop or at a set time.

    A first bar that closes above its open is bought, with a stop at its low. A subclass that sets ``allow_short`` also
    sells one that closes below its open, with a stop at its high. The size is such that the way from the first bar's
    close to the stop loses ``risk`` of net liquidation, but no more than an even share of the cash can pay for.
    """

    range_minutes: int = parameter(5, at_least=1, at_most=120, help="length of the session's first bar")
    risk: float = parameter(0.01, above=0, below=1, help="part of net liquidation that one stop may lose")
    invest: float = parameter(0.95, above=0, at_most=1, help="part of the cash to invest over all symbols")
    exit_at: str = parameter("close-5m", help="session time to leave at, as 15:55, open+2h or close-5m")

    def on_start(self) -> None:
        """Hear bars as long as the opening range; be woken when it is over, and when to leave."""
        self.latest: dict[str, Bar] = {}
        self.exits: dict[str, int] = {}  # the stop and the timed exit: one cancels the other
        self.subscribe(self.symbols, bars=f"{self.range_minutes}m")
        self.at(f"open+{self.range_minutes}m", every="day", label="enter")
        self.at(self.exit_at, every="day", label="leave")

    def on_bar(self, bar: Bar) -> None:
        """Remember the last bar of each symbol."""
        self.latest[bar.symbol] = bar

    def on_time(self, time: TimeEvent) -> None:
        """Leave, or enter wherever the bar that has just closed was the session's first."""
        if time.label == "leave":
            self.leave()
            return
        for bar in self.latest.values():
            rises = bar.close > bar.open
            falls = bar.close < bar.open and self.allow_short
            if bar.ts == time.ts and (rises or falls) and not self.position(bar.symbol).committed:
                self.enter(bar, Side.BUY if rises else Side.SELL)

    def enter(self, bar: Bar, side: Side) -> None:
        """A market order, and the stop that protects it once it has filled."""
        stop = bar.low if side is Side.BUY else bar.high
        by_risk = self.risk * self.account.equity / abs(bar.close - stop)
        by_cash = self.invest * self.account.cash / len(self.symbols) / bar.close
        quantity = min(by_risk, by_cash) // 1
        if quantity:
            entry = self.order(bar.symbol, side, quantity, tag="entry")
            self.exits[bar.symbol] = self.new_group()
            away = Side(-side)
            group = self.exits[bar.symbol]
            self.order(bar.symbol, away, quantity, stop=stop, tif="GTC", parent=entry, group=group, tag="stop")

    def leave(self) -> None:
        """Cancel entries that did not fill, close what is held; the group takes the stops away."""
        for order in self.working_orders():
            if order.request.tag == "entry":
                self.cancel(order)
        for held in self.positions:
            side = Side.SELL if held.quantity > 0 else Side.BUY
            self.order(held.symbol, side, abs(held.quantity), group=self.exits[held.symbol], tag="time")
