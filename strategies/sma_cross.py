"""Moving average cross: hold while the fast average of closes is above the slow one."""

from collections import defaultdict, deque
from statistics import fmean

from papertape import Bar, Strategy, TimeEvent, errors, parameter


class SmaCross(Strategy):
    """Buy when the fast simple moving average of closes crosses above the slow one, sell when it crosses below.

    Long only. ``invest`` of the account's net liquidation is split evenly over the symbols of the run. Orders are
    decided at a bar's close and go to the market: they fill at the next bar's open, or at the next trade or quote.
    Bars before the run count: a run that begins at 10:30 stands where one that ran since the open would, but flat.
    A split changes what the closes before it mean; they are adjusted at the open of the session that it takes effect in.
    """

    fast: int = parameter(20, at_least=1, help="bars in the fast average")
    slow: int = parameter(50, at_least=2, help="bars in the slow average")
    bars: str | None = parameter(None, help="length of the bars, as 5m or 1h; without it the tape's own")
    invest: float = parameter(0.9, above=0, at_most=1, help="part of net liquidation to invest over all symbols")

    def on_start(self) -> None:
        """Hear the bars of every symbol of the run."""
        if self.fast >= self.slow:
            raise errors.ConfigError(f"fast={self.fast} is not below slow={self.slow}; choose a shorter fast average")
        self.closes: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=self.slow))
        self.is_above: dict[str, bool] = {}
        self.days: dict[str, dict[int, float]] = {}
        self.subscribe(self.symbols, bars=self.bars, warmup=self.slow)
        self.at("open", every="day")
        self.at("close", every="day")

    async def on_time(self, time: TimeEvent) -> None:
        """Where history shows the closes of earlier days at other prices than when it was asked last, there was a split."""
        history = await self.history(self.symbols, "5 D", "1 day")
        for symbol, bars in history.items():
            days = {bar.start: bar.close for bar in bars if bar.start < time.ts}
            before = self.days.get(symbol, {})
            factor = next((days[day] / before[day] for day in days if day in before), 1.0)
            if factor != 1.0:
                self.closes[symbol] = deque((close * factor for close in self.closes[symbol]), self.slow)
            self.days[symbol] = days

    def on_bar(self, bar: Bar) -> None:
        """Update the averages; trade where they cross."""
        closes = self.closes[bar.symbol]
        closes.append(bar.close)
        if len(closes) < self.slow:
            return
        is_above = fmean(list(closes)[-self.fast :]) > fmean(closes)
        was_above = self.is_above.get(bar.symbol, is_above)  # the first averages cross nothing
        self.is_above[bar.symbol] = is_above
        position = self.position(bar.symbol)
        if is_above and not was_above and not position.committed:
            share = self.invest * self.account.equity / len(self.symbols)
            if share >= bar.close:
                self.buy(bar.symbol, share // bar.close)
        elif was_above and not is_above and position.sellable:
            self.sell(bar.symbol, position.sellable)
