"""What an account must have to hold its positions, by one simple rule, and what an order would change in it.

The rule is Regulation T's for stocks, made general: initial margin is 1/multiple of the positions' gross value, where
``multiple`` is the account's margin multiple (2 is Regulation T's 50 %; 1 is a cash account); maintenance margin is
half of the initial one but at least 25 %, and never more than the initial one; a cash account's is all of the value.
The simulated broker refuses an order by the same bound. Interactive Brokers' own margins differ by instrument, and
those of futures, options and portfolio margin are not imitated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from brokers.sim import FillRules
from gateway.protocol.replies import OrderState
from papertape.core.ledger import Ledger

MAINTENANCE_LEAST = 0.25
UNSET_TEXT = "1.7976931348623157E308"
"""What TWS writes for money that is not known."""


@dataclass(frozen=True, slots=True)
class Margins:
    """Money in base currency; NaN where it is not known."""

    equity: float
    gross: float
    initial: float
    maintenance: float

    @property
    def available(self) -> float:
        """What is left for new positions: equity less initial margin."""
        return self.equity - self.initial

    @property
    def excess(self) -> float:
        """What may be lost before positions must be closed: equity less maintenance margin."""
        return self.equity - self.maintenance


def margin_fractions(multiple: float) -> tuple[float, float]:
    """Initial and maintenance margin as fractions of the gross value of positions."""
    initial = 1.0 / max(multiple, 1.0)
    if multiple <= 1.0:
        return 1.0, 1.0
    return initial, min(initial, max(initial / 2.0, MAINTENANCE_LEAST))


def margins(equity: float, gross: float, multiple: float) -> Margins:
    """Margins of positions with a gross value (base currency, not negative)."""
    initial, maintenance = margin_fractions(multiple)
    return Margins(equity, gross, gross * initial, gross * maintenance)


def gross_value(ledger: Ledger) -> float:
    """Sum of the positions' absolute values in base currency; NaN where one is not known."""
    ledger.state.settle()
    tree = ledger.state.tree
    return float(np.abs(tree[len(tree) // 2 :]).sum())


def what_if(ledger: Ledger, j: int, signed_quantity: float, price: float, fee: float, rules: FillRules) -> OrderState:
    """What filling ``signed_quantity`` at ``price`` for ``fee`` (the instrument's currency) would change.

    Equity changes by the fee only, and commission and margins come in their own currencies: so a real paper account
    answers. Its status is PreSubmitted there. Unknown money is TWS's unset text.
    """
    record = ledger.state.instruments[j]
    multiple = rules.margin_multiple
    equity, gross, rate = ledger.account.equity, gross_value(ledger), float(record["rate"])
    held = float(record["quantity"])
    unit = float(record["multiplier"]) * rate
    before = margins(equity, gross, multiple)
    tree = ledger.state.tree
    others = gross - abs(float(tree[len(tree) // 2 + j]))
    after = margins(equity - fee * rate, others + abs((held + signed_quantity) * price * unit), multiple)
    return OrderState(
        "PreSubmitted",
        init_margin_before=money_or_unset(before.initial),
        maint_margin_before=money_or_unset(before.maintenance),
        equity_before=money_or_unset(before.equity),
        init_margin_change=money_or_unset(after.initial - before.initial),
        maint_margin_change=money_or_unset(after.maintenance - before.maintenance),
        equity_change=money_or_unset(after.equity - before.equity),
        init_margin_after=money_or_unset(after.initial),
        maint_margin_after=money_or_unset(after.maintenance),
        equity_after=money_or_unset(after.equity),
        commission=fee,
        commission_currency=ledger.instruments[j].currency,
        margin_currency=ledger.base,
    )


def money(amount: float) -> str:
    """An amount with two decimals, never a negative zero."""
    text = f"{amount:.2f}"
    return "0.00" if text == "-0.00" else text


def money_or_unset(amount: float) -> str:
    """An amount with two decimals; TWS's unset text where it is not known."""
    return money(amount) if math.isfinite(amount) else UNSET_TEXT
