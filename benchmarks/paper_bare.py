"""The script that one writes without papertape: ``python -m benchmarks.paper_bare PORT``.

The stock client with its own threads; every trade is answered with a market order in the callback itself. It keeps no
journal, has no guard, and looks at nothing that TWS says of its orders. Ends when its input does.
"""

from __future__ import annotations

import logging
import sys
import threading
from decimal import Decimal
from typing import Any

from ibapi import client as ibapi_client
from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.order import Order
from ibapi.wrapper import EWrapper

VERSION_MAX = 200
CLIENT_ID = 2


class Bare(EWrapper, EClient):  # type: ignore[misc]
    """Buys and sells one share in turn, at every trade."""

    def __init__(self) -> None:
        EClient.__init__(self, self)
        self.next_id = 0
        self.is_long = False
        self.contract = Contract()
        self.contract.symbol, self.contract.secType = "S00", "STK"
        self.contract.exchange, self.contract.currency = "SMART", "USD"

    def nextValidId(self, orderId: int) -> None:  # noqa: N802, N803 - the client's names
        """Connected: follow the trades."""
        self.next_id = orderId
        self.reqTickByTickData(1_000_000, self.contract, "AllLast", 0, False)

    def tickByTickAllLast(self, *arguments: Any) -> None:  # noqa: N802 - the client's name
        """A trade: answer it."""
        order = Order()
        order.action = "SELL" if self.is_long else "BUY"
        order.orderType, order.totalQuantity, order.tif = "MKT", Decimal(1), "DAY"
        self.is_long = not self.is_long
        self.placeOrder(self.next_id, self.contract, order)
        self.next_id += 1


def main(port: int) -> None:
    """Trade until there is no more input."""
    logging.getLogger("ibapi").setLevel(logging.CRITICAL)
    ibapi_client.MAX_CLIENT_VER = min(ibapi_client.MAX_CLIENT_VER, VERSION_MAX)  # text, as papertape speaks
    bare = Bare()
    bare.connect("127.0.0.1", port, CLIENT_ID)
    threading.Thread(target=bare.run, daemon=True).start()
    sys.stdin.readline()
    bare.disconnect()


if __name__ == "__main__":
    main(int(sys.argv[1]))
