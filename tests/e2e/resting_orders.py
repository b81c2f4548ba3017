"""A strategy for tests that has every kind of order work: it enters at limits below the market and leaves in families."""

from __future__ import annotations

from papertape import Fill, Strategy, TimeEvent, Trade, moved
from papertape.core.model import Side
from papertape.core.orders import Order


class RestingOrders(Strategy):
    """Each small move of the price gives the next kind of order of a list; what has rested too long is moved or cancelled."""

    move: float = 0.0004
    quantity: int = 200
    rests_s: float = 40.0
    most: int = 1_000_000

    def on_start(self) -> None:
        self.given = 0
        self.subscribe(self.symbols, when=moved(self.move, self.move))
        self.every(self.rests_s)

    def on_trade(self, trade: Trade) -> None:
        if self.given >= self.most or len(self.working_orders(trade.symbol)) > 8:
            return
        self.given += 1
        held = self.position(trade.symbol)
        price = trade.price
        if held.sellable >= self.quantity:
            self._leave(trade.symbol, price)
            return
        match self.given % 5:
            case 0:
                self.buy(trade.symbol, self.quantity)
            case 1:
                self.buy(trade.symbol, self.quantity, limit=round(price * 0.9996, 2))
            case 2:
                self.buy(trade.symbol, self.quantity, stop=round(price * 1.0004, 2))
            case 3:
                self.buy(
                    trade.symbol, self.quantity, stop=round(price * 1.0003, 2), limit=round(price * 1.001, 2), tif="GTC"
                )
            case _:
                below, above = round(price * 0.999, 2), round(price * 1.001, 2)
                self.bracket(trade.symbol, Side.BUY, self.quantity, stop=below, target=above, limit=round(price, 2))

    def _leave(self, symbol: str, price: float) -> None:
        match self.given % 6:
            case 0:
                self.sell(symbol, self.quantity)
            case 1:
                self.sell(symbol, self.quantity, limit=round(price * 1.0004, 2))
            case 2:
                self.sell(symbol, self.quantity, stop=round(price * 0.9994, 2))
            case 3:
                self.sell(symbol, self.quantity, trail=round(price * 0.0008, 2))
            case 4:
                self.sell(symbol, self.quantity, limit=round(price * 0.9999, 2), tif="IOC")
            case _:
                group = self.new_group()
                self.sell(symbol, self.quantity, limit=round(price * 1.0006, 2), group=group)
                self.sell(symbol, self.quantity, stop=round(price * 0.9992, 2), group=group)

    def on_fill(self, fill: Fill) -> None:
        self.record("filled", fill.quantity)

    def on_time(self, time: TimeEvent) -> None:
        """The oldest order of each instrument is improved if it is a limit, else it ends."""
        for symbol in self.symbols:
            for order in self.working_orders(symbol)[:1]:
                self._improve(order)

    def _improve(self, order: Order) -> None:
        limit = order.request.limit_price
        if limit == limit and order.request.stop_price != order.request.stop_price and not order.filled:
            self.modify(order, limit=round(limit * (1.0 + 0.0002 * order.request.side), 2))
        else:
            self.cancel(order)
