"""Tick momentum: buy a jump of the trade price, sell a drop."""

from papertape import Scan, Strategy, Trade, moved, parameter, scanner


class TickMomentum(Strategy):
    """Buy when a trade prints far above the one before it, sell when it prints far below; never go short.

    Follows the most active stocks of one scan, or the symbols of ``universe``. A rise of more than ``up`` against the
    previous trade buys ``entry_quantity`` when flat, else ``add_quantity`` more; a fall of more than ``down`` sells
    ``sell_quantity``, where that many are held and not being sold already. All orders are market orders for the day.
    What is on its way counts as held, so that two quick trades never make two entries.
    """

    universe: list[str] = parameter([], help="symbols to follow instead of scanning for them")
    up: float = parameter(0.05, above=0, help="rise that buys, as a fraction of the previous trade's price")
    down: float = parameter(0.06, above=0, below=1, help="fall that sells, as a fraction of the previous trade's price")
    entry_quantity: int = parameter(5, at_least=1, help="units to buy when flat")
    add_quantity: int = parameter(3, at_least=1, help="units to buy on top of a position")
    sell_quantity: int = parameter(5, at_least=1, help="units to sell")
    top: int = parameter(5, at_least=1, at_most=50, help="rows of the scan to follow")
    avg_volume_above: float = parameter(1_000_000, at_least=0, help="scan filter: average volume of a session")
    price_above: float = parameter(10, at_least=0, help="scan filter: last price")
    scan_at: str = parameter("09:35", help="session time of the scan, as 09:35 or open+5m")
    rescan: bool = parameter(False, help="scan in every session, not only once; adds symbols, drops none")

    def on_start(self) -> None:
        """Follow the named symbols, or ask for the scan."""
        self.followed: set[str] = set()
        if self.universe:
            self.follow(self.universe)
        else:
            active = scanner.MOST_ACTIVE.where(avg_volume_above=self.avg_volume_above, price_above=self.price_above)
            self.scan(active, rows=self.top, at=self.scan_at, every="day" if self.rescan else None)

    def on_scan(self, scan: Scan) -> None:
        """Follow what the scan found."""
        self.log(f"most active: {', '.join(scan.symbols) or 'none'}")
        self.follow(scan.symbols)

    def follow(self, symbols: list[str]) -> None:
        """Hear the jumps of symbols that are not followed yet; for those that are, nothing changes."""
        self.subscribe([each for each in symbols if each not in self.followed], when=moved(self.up, self.down))
        self.followed.update(symbols)

    def on_trade(self, trade: Trade) -> None:
        """Called for jumps and drops only: the subscription's filter sees to that."""
        position = self.position(trade.symbol)
        if trade.change > 0:
            self.buy(trade.symbol, self.add_quantity if position.committed else self.entry_quantity)
        elif position.sellable >= self.sell_quantity:
            self.sell(trade.symbol, self.sell_quantity)
