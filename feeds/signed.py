"""Instruments whose prices may be zero or below: spreads, some futures, some rates.

What is read from CSV files was judged while it was parsed. Arrays are judged here, at once, since the check that is made
while they are played knows positive prices only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from papertape.core.errors import ConfigError, DataError, did_you_mean
from papertape.core.model import EventKind
from papertape.core.series import COLUMNS, Series

_PRICES = {EventKind.TRADE: 1, EventKind.QUOTE: 2, EventKind.BAR: 4}


def admit_signed(series: tuple[Series, ...], signed: Sequence[str]) -> tuple[Series, ...]:
    """The series, those of the ``signed`` symbols checked for order and finite prices, whatever their signs.

    Raises ConfigError for a symbol that no series has, DataError at the first bad event.
    """
    if isinstance(signed, str):
        raise ConfigError(f'signed="{signed}": a list of symbols is needed, as signed=["{signed}"]')
    known = list(dict.fromkeys(each.symbol for each in series))
    for name in signed:
        if name not in known:
            raise ConfigError(f'signed: the data have no "{name}"{did_you_mean(name, known)}')
    return tuple(_checked(each) if each.symbol in signed and not each.validated else each for each in series)


def _checked(series: Series) -> Series:
    late = np.flatnonzero(series.ts[1:] < series.ts[:-1])
    if len(late):
        at = int(late[0]) + 1
        raise DataError(
            f"{series.symbol}: time {series.ts[at]} at index {at} is before the one ahead of it; sort by time",
            path=series.source,
        )
    for name, column in zip(COLUMNS[series.kind][: _PRICES[series.kind]], series.columns, strict=False):
        is_bad = ~np.isfinite(column)
        if series.kind is EventKind.QUOTE:
            is_bad &= ~np.isnan(column)  # a side without a price
        for at in np.flatnonzero(is_bad)[:1].tolist():
            raise DataError(
                f"{series.symbol}: {name} {column[at]} at index {at} is not a finite price", path=series.source
            )
    return replace(series, validated=True)
