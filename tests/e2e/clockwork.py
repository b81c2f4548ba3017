"""A strategy for tests in which every trade that is heard matters: two orders each, so that none can be missed unseen."""

from __future__ import annotations

from papertape import Strategy, Trade


class Clockwork(Strategy):
    """Buys twice at each odd trade that it hears, sells as much at each even one."""

    def on_start(self) -> None:
        self.heard = 0
        self.subscribe(self.symbols[:1])

    def on_trade(self, trade: Trade) -> None:
        self.heard += 1
        if self.heard % 2:
            self.buy(trade.symbol, 1)
            self.buy(trade.symbol, 2)
        elif self.position(trade.symbol).sellable >= 3:
            self.sell(trade.symbol, 1)
            self.sell(trade.symbol, 2)
