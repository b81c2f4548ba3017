"""Round lots: older versions of TWS count sizes of US stocks in them. Pure."""

from __future__ import annotations

from papertape.core.model import Instrument, InstrumentType

SHARES_SINCE = 159
"""First server version whose sizes of US stocks are in shares, not in round lots of 100."""
HISTORY_SHARES_SINCE = 175
"""The same for volumes of historical bars."""
VOLUME_SHARES_SINCE = 220
"""The same for ticks of volume."""
ROUND_LOT = 100.0


def is_us_stock(instrument: Instrument) -> bool:
    """Whether older servers count it in round lots."""
    return instrument.type is InstrumentType.STOCK and instrument.currency == "USD"
