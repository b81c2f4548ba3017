"""Executions as a memory holds them, for tests of what is remembered."""

from __future__ import annotations

from gateway.protocol.contract import Contract
from gateway.protocol.replies import Commission, Execution
from gateway.store import SavedExecution

ACCOUNT = "DU1234567"
AAPL = Contract(265598, "AAPL", "STK", exchange="SMART", primary_exchange="NASDAQ", currency="USD")


def execution(
    number: int, quantity: float = 10.0, price: float = 100.0, *, ts: int = 0, symbol: str = "AAPL"
) -> SavedExecution:
    """A fill with its commission of a dollar."""
    exec_id = f"0000e0d5.{number:08d}.01"
    side = "BOT" if quantity > 0 else "SLD"
    row = Execution(
        -1, number, AAPL, exec_id, "20240103  09:31:00", ACCOUNT, "ISLAND", side, abs(quantity), price, 7, 1,
        abs(quantity), price,
    )  # fmt: skip
    return SavedExecution(exec_id, ts or number, symbol, quantity, price, 1.0, row, Commission(exec_id, 1.0, "USD"))
