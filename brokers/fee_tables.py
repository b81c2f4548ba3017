"""Rates that change with the trade date: who charges what, from when, and where that is written.

Each row holds from its date until the next row's. ``confirmed`` is False where the rate is what is known of it
without its notice at hand; runs that use such a row say so. ``*_KNOWN_THROUGH`` is the last day for which a table is
known to be complete; a later (or earlier) day takes the nearest row and is an estimate too.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple


class SecRow(NamedTuple):
    """Section 31 fee: US dollars per million dollars of sales, from a date on."""

    effective: date
    per_million: float
    source: str
    confirmed: bool = True


class TafRow(NamedTuple):
    """FINRA Trading Activity Fee on sales of covered equities: dollars per share, and the cap per trade."""

    effective: date
    per_share: float
    cap: float
    source: str
    confirmed: bool = True


class CatRow(NamedTuple):
    """Consolidated Audit Trail fees as passed on to both sides of a trade: dollars per share."""

    effective: date
    per_share: float
    source: str
    confirmed: bool = True


SEC_ROWS: tuple[SecRow, ...] = (
    SecRow(date(2009, 4, 10), 25.70, "SEC fee rate advisory, fiscal year 2009", confirmed=False),
    SecRow(date(2010, 1, 15), 12.70, "SEC fee rate advisory, fiscal year 2010", confirmed=False),
    SecRow(date(2010, 4, 1), 16.90, "FINRA information notice 3/10/10"),
    SecRow(date(2011, 1, 21), 19.20, "SEC fee rate advisory #5, fiscal year 2011"),
    SecRow(date(2012, 2, 21), 18.00, "SEC fee rate advisory #5, fiscal year 2012"),
    SecRow(date(2012, 4, 1), 22.40, "SEC fee rate advisory, fiscal year 2012 (mid-year); in force by #2 of 2013"),
    SecRow(date(2013, 5, 25), 17.40, "SEC release 34-69449, fiscal year 2013"),
    SecRow(date(2014, 3, 18), 22.10, "FINRA information notice 3/3/14"),
    SecRow(date(2015, 2, 14), 18.40, "SEC release 34-74057, fiscal year 2015"),
    SecRow(date(2016, 2, 16), 21.80, "SEC fee rate advisory, fiscal year 2016; FINRA information notice 3/15/16"),
    SecRow(date(2017, 7, 4), 23.10, "SEC fee rate advisory, fiscal year 2017"),
    SecRow(date(2018, 5, 22), 13.00, "SEC fee rate advisory #3, fiscal year 2018; FINRA information notice 5/7/18"),
    SecRow(date(2019, 4, 16), 20.70, "SEC fee rate advisory #2, fiscal year 2019"),
    SecRow(date(2020, 2, 18), 22.10, "SEC fee rate advisory #2, fiscal year 2020"),
    SecRow(date(2021, 2, 25), 5.10, "SEC fee rate advisory #2, fiscal year 2021"),
    SecRow(date(2022, 5, 14), 22.90, "SEC fee rate advisory #1, fiscal year 2022"),
    SecRow(date(2023, 2, 27), 8.00, "SEC release 34-96724, fiscal year 2023"),
    SecRow(date(2024, 5, 22), 27.80, "SEC release 34-99973, fiscal year 2024"),
    SecRow(date(2025, 5, 14), 0.00, "FINRA information notice 4/24/25, fiscal year 2025"),
    SecRow(date(2026, 4, 4), 20.60, "SEC release 34-104909, fiscal year 2026"),
)
SEC_KNOWN_THROUGH = date(2026, 9, 30)
"""The rate of fiscal year 2026 holds at least until this day."""

TAF_ROWS: tuple[TafRow, ...] = (
    TafRow(date(2005, 1, 1), 0.000075, 3.75, "NASD notice to members 04-84"),
    TafRow(date(2011, 7, 1), 0.000090, 4.50, "FINRA regulatory notice 11-27"),
    TafRow(date(2012, 3, 1), 0.000095, 4.75, "FINRA regulatory notice 12-06"),
    TafRow(date(2012, 7, 1), 0.000119, 5.95, "FINRA By-Laws schedule A section 1; 77 FR 38690"),
    TafRow(date(2022, 1, 1), 0.000130, 6.49, "FINRA By-Laws schedule A section 1, 2022", confirmed=False),
    TafRow(date(2023, 1, 1), 0.000145, 7.27, "FINRA By-Laws schedule A section 1, 2023"),
    TafRow(date(2024, 1, 1), 0.000166, 8.30, "FINRA By-Laws schedule A section 1, 2024"),
    TafRow(date(2026, 1, 1), 0.000195, 9.79, "FINRA By-Laws schedule A section 1, 2026 (SR-FINRA-2024-019)"),
)
TAF_KNOWN_THROUGH = date(2026, 12, 31)

CAT_ROWS: tuple[CatRow, ...] = (
    CatRow(date(1970, 1, 1), 0.0, "no CAT fee was charged before September 2024"),
    CatRow(date(2024, 9, 1), 0.000035, "CAT Fee 2024-1, FINRA rule 6897"),
    CatRow(date(2024, 10, 1), 0.000048, "CAT Fee 2024-1 and Historical CAT Assessment 1 (0.000013)"),
    CatRow(date(2025, 1, 1), 0.000035, "CAT Fee 2025-1 (0.000022) and Historical CAT Assessment 1", confirmed=False),
    CatRow(date(2025, 7, 1), 0.000022, "CAT Fee 2025-2 (0.000009) and Historical CAT Assessment 1", confirmed=False),
    CatRow(date(2026, 1, 1), 0.000003, "taken to be what IB charged on 2026-08-25", confirmed=False),
    CatRow(date(2026, 8, 25), 0.000003, "what IB charged on a fill of 2026-08-25"),
)
CAT_KNOWN_THROUGH = date(2026, 9, 30)
"""The month after the last fill that the rate was seen on."""

IB_FIXED_PER_SHARE = 0.005
IB_FIXED_MINIMUM = 1.00
IB_MAXIMUM_RATE = 0.01
"""IB's fixed pricing, US stocks: dollars a share, dollars an order, and the most as a share of the order's value.
Source: Interactive Brokers, commissions for stocks, United States. Where the maximum is less than the minimum,
the maximum is charged."""

IB_TIERS: tuple[tuple[float, float], ...] = (
    (300_000.0, 0.0035),
    (3_000_000.0, 0.0020),
    (20_000_000.0, 0.0015),
    (100_000_000.0, 0.0010),
    (float("inf"), 0.0005),
)
"""IB's tiered pricing, US stocks: (up to this many shares in the month, dollars a share). Marginal: each share pays
the rate of the tier that it falls in. Source: Interactive Brokers, commissions for stocks, United States."""

IB_TIERED_MINIMUM = 0.35
IB_CLEARING_PER_SHARE = 0.00020
IB_CLEARING_MAXIMUM_RATE = 0.005
"""NSCC and DTC clearing, passed on under tiered pricing: dollars a share, at most this share of the value."""

IB_PASS_THROUGH_RATE = 0.000175 + 0.00056
"""NYSE and FINRA pass-through fees, as a share of IB's commission (tiered pricing)."""

NASDAQ_REMOVE_PER_SHARE = 0.0030
"""What NASDAQ charges for removing liquidity, as IB passes it on: dollars a share; below a price of one dollar the
same fraction of the value. Source: Interactive Brokers, NASDAQ/Island exchange fees. Its rebate for adding
(0.0021 dollars a share at the time of writing) is not counted: see ``FeeModel.describe``."""
