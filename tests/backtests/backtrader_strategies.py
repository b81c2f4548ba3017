"""Strategies as backtrader's users write them: they import backtrader and nothing of this project."""

from __future__ import annotations

import datetime as dt

import backtrader as bt


class SmaCross(bt.Strategy):
    """In the market while the fast average is above the slow one; its sizer decides how much."""

    params = (("fast", 10), ("slow", 30))

    def __init__(self):
        fast = bt.ind.SMA(period=self.p.fast)
        slow = bt.ind.SMA(period=self.p.slow)
        self.crossover = bt.ind.CrossOver(fast, slow)
        self.setsizer(bt.sizers.FixedSize(stake=25))

    def next(self):
        if not self.position:
            if self.crossover > 0:
                self.buy()
        elif self.crossover < 0:
            self.close()


class RsiReversal(bt.Strategy):
    """Buys what is oversold, sells when it is overbought; one order at a time."""

    params = (("period", 9), ("lower", 35), ("upper", 65), ("stake", 40))

    def __init__(self):
        self.rsi = bt.indicators.RSI_SMA(self.data.close, period=self.p.period, safediv=True)
        self.order = None

    def notify_order(self, order):
        if order.status in [order.Submitted, order.Accepted]:
            return
        self.order = None

    def next(self):
        if self.order:
            return
        if not self.position:
            if self.rsi[0] < self.p.lower:
                self.order = self.buy(size=self.p.stake)
        elif self.rsi[0] > self.p.upper:
            self.order = self.sell(size=self.p.stake)


class BollingerTouch(bt.Strategy):
    """Buys below the lower band, leaves at the middle; also short, mirrored."""

    params = (("period", 20), ("devfactor", 1.8))

    def __init__(self):
        self.bands = bt.ind.BollingerBands(period=self.p.period, devfactor=self.p.devfactor)
        self.sizer = bt.sizers.SizerFix(stake=10)

    def next(self):
        close, position = self.data.close[0], self.position.size
        if not position:
            if close < self.bands.lines.bot[0]:
                self.buy()
            elif close > self.bands.lines.top[0]:
                self.sell()
        elif (position > 0) == (close >= self.bands.mid[0]):
            self.close()


class MacdTarget(bt.Strategy):
    """Holds half of the account's value while MACD is above its signal, a tenth while it is below."""

    def __init__(self):
        macd = bt.ind.MACD(self.data)
        self.up = bt.ind.CrossUp(macd.macd, macd.signal)
        self.down = bt.ind.CrossDown(macd.macd, macd.signal)

    def next(self):
        if self.up[0]:
            self.order_target_percent(target=0.5)
        elif self.down[0]:
            self.order_target_percent(target=0.1)


class AtrTrail(bt.Strategy):
    """Enters on a new high; its stop follows the close by a multiple of ATR, cancelled and given anew."""

    params = (("window", 20), ("atrdist", 2.0))

    def __init__(self):
        self.highest = bt.ind.Highest(self.data.high, period=self.p.window)
        self.atr = bt.ind.ATR(self.data, period=14)
        self.stop_order = None
        self.level = None

    def notify_order(self, order):
        if order.status != order.Completed:
            return
        if order.isbuy():
            self.protect(order.executed.price - self.p.atrdist * self.atr[0])
        else:
            self.stop_order = self.level = None

    def protect(self, level):
        if self.stop_order is not None:
            self.cancel(self.stop_order)  # one that was given at this very bar could not be: it waits for the next
        self.level = level
        self.stop_order = self.sell(size=15, exectype=bt.Order.Stop, price=round(level, 2))

    def next(self):
        if not self.position:
            if self.data.close[0] > self.highest[-1]:
                self.buy(size=15)
        elif self.stop_order is not None and self.stop_order.status == bt.Order.Accepted:
            level = self.data.close[0] - self.p.atrdist * self.atr[0]
            if level > self.level:
                self.protect(level)


class Brackets(bt.Strategy):
    """A limit entry below the market with stop and target, every so many bars while flat."""

    params = (("every", 17), ("entry", 0.001), ("away", 0.004), ("valid", 10))

    def __init__(self):
        self.orefs = []

    def notify_order(self, order):
        if not order.alive() and order.ref in self.orefs:
            self.orefs.remove(order.ref)

    def next(self):
        if self.orefs or len(self) % self.p.every:
            return
        price = round(self.data.close[0] * (1.0 - self.p.entry), 2)
        orders = self.buy_bracket(
            size=20, price=price,
            stopprice=round(price * (1.0 - self.p.away), 2), limitprice=round(price * (1.0 + self.p.away), 2),
            valid=dt.timedelta(minutes=self.p.valid), stopargs={"valid": None}, limitargs={"valid": None},
        )  # fmt: skip
        self.orefs = [order.ref for order in orders]


class OcoEntries(bt.Strategy):
    """Three limit buys of which one cancels the others, then a sale after some bars."""

    params = (("hold", 8), ("step", 0.001), ("valid", 25))

    def __init__(self):
        self.sma = bt.ind.SMA(period=15)
        self.cross = bt.ind.CrossDown(self.data.close, self.sma)
        self.orefs = []
        self.entered = 0

    def notify_order(self, order):
        if order.status == order.Completed:
            self.entered = len(self)
        if not order.alive() and order.ref in self.orefs:
            self.orefs.remove(order.ref)

    def next(self):
        if self.orefs:
            return
        if not self.position:
            if self.cross[0]:
                prices = [round(self.data.close[0] * (1 - k * self.p.step), 2) for k in (1, 2, 3)]
                valid = dt.timedelta(minutes=self.p.valid)
                first = self.buy(size=5, exectype=bt.Order.Limit, price=prices[0], valid=valid)
                second = self.buy(size=7, exectype=bt.Order.Limit, price=prices[1], oco=first)
                third = self.buy(size=9, exectype=bt.Order.Limit, price=prices[2], oco=second)
                self.orefs = [first.ref, second.ref, third.ref]
        elif len(self) - self.entered >= self.p.hold:
            self.orefs = [self.close().ref]


class Pair(bt.Strategy):
    """Sells the dear one of two and buys the cheap one when their ratio is far from its average."""

    params = (("period", 40), ("enter", 1.5), ("stake", 10))

    def __init__(self):
        ratio = self.data0.close / self.data1.close
        self.score = (ratio - bt.ind.SMA(ratio, period=self.p.period)) / bt.ind.StdDev(ratio, period=self.p.period)

    def next(self):
        held = self.getposition(self.data0).size
        if not held and abs(self.score[0]) > self.p.enter:
            dear, cheap = (self.data0, self.data1) if self.score[0] > 0 else (self.data1, self.data0)
            self.sell(data=dear, size=self.p.stake)
            self.buy(data=cheap, size=self.p.stake)
        elif held and (held < 0) == (self.score[0] < 0):
            self.close(data=self.data0)
            self.close(data=self.data1)


class TimedEntries(bt.Strategy):
    """Buys half an hour into the session and again each hour; a second timer closes before the end."""

    params = (("open", dt.time(9, 30)), ("leave", dt.time(15, 50)))

    def __init__(self):
        self.told = []
        self.enter = self.add_timer(when=self.p.open, offset=dt.timedelta(minutes=30), repeat=dt.timedelta(hours=1))
        self.leave = self.add_timer(when=self.p.leave, weekdays=[1, 2, 3, 4, 5])

    def notify_timer(self, timer, when, *args, **kwargs):
        self.told.append(when)
        if timer is self.leave:
            self.close()
        elif len(self) > 0 and self.data.datetime.time() < self.p.leave:
            self.buy(size=3)


class WarmUp(bt.Strategy):
    """Trades before, at and after the moment at which its indicators are known."""

    params = (("period", 12),)

    def __init__(self):
        self.ema = bt.ind.EMA(period=self.p.period)
        self.heard = []

    def prenext(self):
        self.heard.append("prenext")
        if len(self) == 3:
            self.buy(size=4)

    def nextstart(self):
        self.heard.append("nextstart")
        self.close()

    def next(self):
        self.heard.append("next")
        above = self.data.close[0] > self.ema[0]
        self.order_target_size(target=6 if above else 0)


class ValueTarget(bt.Strategy):
    """A share of cash by PercentSizer in the beginning, then a fixed value, rebalanced now and then."""

    params = (("every", 45), ("value", 20_000.0))

    def __init__(self):
        self.setsizer(bt.sizers.PercentSizerInt(percents=30))

    def start(self):
        self.trades = 0

    def notify_trade(self, trade):
        self.trades += trade.isclosed

    def next(self):
        if len(self) == 5:
            self.buy()
        elif len(self) % self.p.every == 0:
            self.order_target_value(target=self.p.value * (1 + len(self) // self.p.every % 2))
        elif len(self) % (self.p.every * 4) == 10:
            self.close()


class HeikinTurn(bt.Strategy):
    """Follows the colour of Heikin-Ashi candles, which backtrader can only compute bar after bar."""

    def __init__(self):
        self.candle = bt.ind.HeikinAshi(self.data)

    def next(self):
        rises = [self.candle.ha_close[ago] > self.candle.ha_open[ago] for ago in (0, -1, -2)]
        if all(rises) and not self.position:
            self.buy(size=8)
        elif not any(rises) and self.position:
            self.close()
