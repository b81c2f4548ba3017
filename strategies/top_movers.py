"""Top movers: buy what has risen most since the open, by dollars and by percent."""

from typing import Literal

from papertape import Bar, Scan, Strategy, TimeEvent, parameter, scanner

Change = tuple[float, float]
"""In dollars, and as a fraction (0.05 is +5 %)."""


def change(now: float, then: float) -> Change:
    """Change of a price against an earlier one."""
    return now - then, now / then - 1


class TopMovers(Strategy):
    """Scan for the top gainers, compare the first few with their opens, and buy the best of them.

    At a session time: the scan, last prices of all its rows, daily bars of today (so far) and of the session before
    for the ``top`` first rows. Of those the largest rise since today's open is bought, by dollars, by percent or by
    both, if the person (in a backtest the setting ``confirm``) agrees. Market orders, good till cancelled.
    What has no prices or bars is named in the log and left out.
    """

    scan_at: str = parameter("10:00", help="session time of the scan, as 10:00 or open+30m")
    daily: bool = parameter(True, help="repeat in every session, not only once")
    rows: int = parameter(50, at_least=1, at_most=50, help="rows of the scan")
    top: int = parameter(5, at_least=1, at_most=50, help="first rows of the scan to compare")
    quantity: int = parameter(100, at_least=1, help="units to buy of each")
    metric: Literal["dollars", "percent", "both"] = parameter("both", help="rise by which the best is chosen")
    same_symbol: Literal["once", "twice"] = parameter("once", help="orders for a symbol that is best by both")
    exit_at: str | None = parameter("close-5m", help="session time to sell at; none: hold")
    price_above: float = parameter(1, at_least=0, help="scan filter: last price")
    volume_above: float = parameter(10_000, at_least=0, help="scan filter: volume of the session so far")
    market_cap_below_millions: float | None = parameter(1_000, above=0, help="scan filter; none: any company")

    def on_start(self) -> None:
        bounds = {"price_above": self.price_above, "volume_above": self.volume_above}
        if self.market_cap_below_millions is not None:
            bounds["market_cap_below_1e6"] = self.market_cap_below_millions
        every = "day" if self.daily else None
        self.scan(scanner.TOP_PERC_GAIN.where(**bounds), rows=self.rows, at=self.scan_at, every=every)
        if self.exit_at:
            self.at(self.exit_at, every="day")

    async def on_scan(self, scan: Scan) -> None:
        prices = await self.snapshot(scan.symbols)
        for row in scan.rows:
            price = prices.get(row.symbol)
            shown = f"bid {price.bid:.2f}, ask {price.ask:.2f}, last {price.last:.2f}" if price else "no prices"
            self.log(f"rank {row.rank}: {row.symbol}: {shown}")
        first = [each for each in scan.symbols[: self.top] if each in prices and prices[each].last > 0]
        days = await self.history(first, "2 D", "1 day")
        rises: dict[str, Change] = {}
        for symbol in first:
            bars = days.get(symbol, [])
            if len(bars) == 2:
                rises[symbol] = self.compare(symbol, prices[symbol].last, *bars)
            else:
                self.log(f"{symbol}: left out, {len(bars)} of 2 daily bars")
        best = self.best(rises)
        cost = self.quantity * sum(prices[each].last for each in best)
        if best and (await self.confirm(f"Buy {self.quantity} each of {', '.join(best)}?", cost)).value:
            for symbol in best:
                self.log("open order:", self.buy(symbol, self.quantity, tif="GTC"))

    def compare(self, symbol: str, last: float, prior: Bar, today: Bar) -> Change:
        """Log both bars and the changes against their opens; returns the change against today's."""
        for name, bar in (("today", today), ("prior session", prior)):
            dollars, part = change(last, bar.open)
            ohlc = f"O {bar.open:.2f} H {bar.high:.2f} L {bar.low:.2f} C {bar.close:.2f}"
            self.log(f"{symbol}: last {last:.2f}; {name} {ohlc}; since its open {dollars:+.2f} = {part:+.2%}")
        return change(last, today.open)

    def best(self, rises: dict[str, Change]) -> list[str]:
        """The largest rise by each metric; what has not risen is none. The higher rank wins a tie."""
        chosen = []
        for metric, name in enumerate(("dollars", "percent")):
            risen = [each for each in rises if rises[each][metric] > 0]
            if risen and self.metric in (name, "both"):
                chosen.append(max(risen, key=lambda each: rises[each][metric]))
                self.log(f"largest rise by {name}: {chosen[-1]}")
        return chosen if self.same_symbol == "twice" else list(dict.fromkeys(chosen))

    def on_time(self, time: TimeEvent) -> None:
        for order in self.working_orders():
            self.cancel(order)
        for held in self.positions:
            self.sell(held.symbol, held.sellable)
