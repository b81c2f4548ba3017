"""Top movers: buy what has risen most since the open, by dollars and by percent."""

from typing import Literal

from papertape import Scan, Snapshot, Strategy, TimeEvent, parameter, scanner


def _shown(p: Snapshot | None) -> str:
    return f"bid {p.bid:.2f}, ask {p.ask:.2f}, last {p.last:.2f}" if p else "left out, no prices"


class TopMovers(Strategy):
    """Scan for the top gainers, compare the first few with their opens, and buy the best of them.

    At a session time: the scan, the prices of all its rows, and two daily bars of its ``top`` first rows, the prior
    session's and today's so far. The largest rise since today's open is bought, by dollars, by percent or by both, if
    the person agrees (in a backtest: the setting ``confirm``). Orders go to the market and are good till cancelled.
    What has no prices or bars is named in the log and left out, and so is what has not risen.
    """

    scan_at: str = parameter("10:00", help="session time of the scan, as 10:00 or open+30m")
    daily: bool = parameter(True, help="repeat in every session, not only once")
    rows: int = parameter(50, at_least=1, at_most=50, help="rows of the scan")
    top: int = parameter(5, at_least=1, at_most=50, help="first rows of the scan to compare")
    quantity: int = parameter(100, at_least=1, help="units to buy of each")
    metric: Literal["dollars", "percent", "both"] = parameter("both", help="rise by which the best is chosen")
    same_symbol: Literal["once", "twice"] = parameter("once", help="orders for a symbol that is best by both")
    exit_at: str | None = parameter("close-5m", help="session time to sell at, as 15:55 or close-5m; none: hold")
    price_above: float = parameter(1, at_least=0, help="scan filter: last price")
    volume_above: float = parameter(10_000, at_least=0, help="scan filter: volume of the session so far")
    market_cap_below_millions: float | None = parameter(1_000, above=0, help="scan filter; none: any company")

    def on_start(self) -> None:
        """Ask for the scan, and to be woken when it is time to sell."""
        bounds = {"price_above": self.price_above, "volume_above": self.volume_above}
        if self.market_cap_below_millions is not None:
            bounds["market_cap_below_1e6"] = self.market_cap_below_millions
        repeat = "day" if self.daily else None
        self.scan(scanner.TOP_PERC_GAIN.where(**bounds), rows=self.rows, at=self.scan_at, every=repeat)
        if self.exit_at:
            self.at(self.exit_at, every="day")

    async def on_scan(self, scan: Scan) -> None:
        """Compare, choose, ask, buy. Each ``await`` lets everything else go on until the answer has come."""
        prices = await self.snapshot(scan.symbols)
        if scan.rows:
            self.log("\n".join(f"rank {row.rank}: {row.symbol}: {_shown(prices.get(row.symbol))}" for row in scan.rows))
        first = [each for each in scan.symbols[: self.top] if each in prices]
        days = await self.history(first, "2 D", "1 day")
        dollars: dict[str, float] = {}
        percent: dict[str, float] = {}
        for symbol in first:
            last, bars = prices[symbol].last, days.get(symbol, [])
            if len(bars) != 2 or not last > 0:
                self.log(f"{symbol}: left out, last price {last:.2f} and {len(bars)} of 2 daily bars")
                continue
            for day, bar in zip(("the prior session", "today"), bars, strict=True):
                rise, part = last - bar.open, last / bar.open - 1
                ohlc = f"O {bar.open:.2f} H {bar.high:.2f} L {bar.low:.2f} C {bar.close:.2f}"
                self.log(f"{symbol}: {rise:+.2f} or {part:+.2%} since the open of {day}: {ohlc}")
            if rise > 0:
                dollars[symbol], percent[symbol] = rise, part
        best = []
        for name, rises in (("dollars", dollars), ("percent", percent)):
            if rises and self.metric in (name, "both"):
                best.append(max(rises, key=rises.__getitem__))
                self.log(f"largest rise by {name}: {best[-1]}")
        if self.same_symbol == "once":
            best = list(dict.fromkeys(best))
        cost = self.quantity * sum(prices[symbol].last for symbol in best)
        question = f"Buy {self.quantity} each of {', '.join(best)} for about {cost:,.2f}?"
        if not best or not (await self.confirm(question, cost)).value:
            self.log(f"{question} No." if best else scan.note or "nothing has risen since the open")
            return
        for symbol in best:
            self.log("open order:", self.buy(symbol, self.quantity, tif="GTC"))

    def on_time(self, time: TimeEvent) -> None:
        """Time to leave: cancel what has not filled, sell what is held."""
        for order in self.working_orders():
            self.cancel(order)
        for held in self.positions:
            self.sell(held.symbol, held.sellable)
