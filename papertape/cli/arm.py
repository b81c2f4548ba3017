"""``papertape live --write-arm``: a person on a terminal allows runs that nobody will sit beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from papertape.cli.trading_options import Trading


def arm_run(trading: Trading, path: Path) -> int:
    """Have the account typed, and write the file. Nothing is connected, so TWS need not run now."""
    from papertape.cli.backtest import make_strategy
    from papertape.cli.strategy_source import load_strategy
    from papertape.cli.text import emit
    from papertape.cli.trading import fingerprint_of
    from papertape.live.arming import check_terminal, confirm_account, write_arm

    check_terminal()
    strategy = make_strategy(load_strategy(trading.job.strategy, trading.job.framework), trading.job.parameters)
    account = trading.settings.account
    limits = ", ".join(f"{name} {value}" for name, value in trading.settings.limits().items())
    emit(f"unattended runs of {trading.job.strategy}; guard: {limits or 'no limits are set'}")
    confirm_account(account)
    write_arm(path, account, fingerprint_of(trading, strategy))
    emit(f"armed {path} for account {account}; begin with the same options and --arm {path} in place of --write-arm")
    return 0
