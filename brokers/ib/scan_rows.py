"""Rows of a scan as instruments of the run."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.ib.records import ContractRecord, ScannerRow
from brokers.ib.registry import Registry
from papertape.core.errors import UserError
from papertape.core.model import SYMBOL_PATTERN, Instrument, InstrumentType, ScanRow


def take_rows(registry: Registry, records: Sequence[ScannerRow], most: int) -> tuple[tuple[ScanRow, ...], str]:
    """The first ``most`` rows by rank, their instruments registered; and what is to be said of rows that were left out."""
    rows: list[ScanRow] = []
    left_out: list[str] = []
    for record in sorted(records, key=lambda each: each.rank)[:most]:
        contract = record.contract
        symbol = _symbol(registry, contract)
        try:
            why = _refusal(registry, contract, symbol)
            if not why:
                instrument = Instrument(symbol, InstrumentType(contract.type), contract.currency, contract.con_id)
                registry.add(instrument, contract.con_id)
        except UserError as error:
            why = str(error)
        if why:
            left_out.append(f"{symbol} is left out: {why}")
        else:
            rows.append(ScanRow(len(rows), symbol, contract.con_id, contract.exchange, contract.currency))
    more = f" (and {len(left_out) - 3} more)" if len(left_out) > 3 else ""
    return tuple(rows), "; ".join(left_out[:3]) + more


def _symbol(registry: Registry, contract: ContractRecord) -> str:
    """How the run spells a contract: as it does already, else as TWS does."""
    j = registry.by_con_id(contract.con_id)
    if j is not None:
        return registry.symbols[j]
    for gap in ".-/":
        spelled = contract.symbol.replace(" ", gap)
        if spelled in registry.index:
            return spelled
    return contract.symbol


def _refusal(registry: Registry, contract: ContractRecord, symbol: str) -> str:
    """Why a row can not be one of the run's instruments; empty where it can."""
    if contract.type != InstrumentType.STOCK:
        return f"it is of type {contract.type}"
    if not SYMBOL_PATTERN.fullmatch(symbol):
        return "papertape has no such symbols"
    known = registry.index.get(symbol)
    if known is not None and registry.con_ids[known] not in (0, contract.con_id):
        return f"the run's {symbol} is another contract ({registry.con_ids[known]}, this one is {contract.con_id})"
    return ""
