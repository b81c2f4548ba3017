"""``papertape init``: a small project to start from."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from papertape.core.errors import ConfigError

_STRATEGY = '''\
"""My first strategy: follow quick moves."""

from papertape import Strategy, Trade, moved, parameter


class MyStrategy(Strategy):
    """Buy when a trade prints well above the one before it, sell when one prints well below."""

    # Parameters: change them with --set up=0.03, try several with --grid up=0.02,0.03,0.05
    up: float = parameter(0.03, above=0, help="rise that buys, as a fraction of the previous price")
    down: float = parameter(0.03, above=0, below=1, help="fall that sells")
    quantity: int = parameter(10, at_least=1, help="shares of each order")

    def on_start(self):
        # The filter decides when on_trade is called; it is evaluated in compiled code.
        self.subscribe(self.symbols, when=moved(up=self.up, down=self.down))

    def on_trade(self, trade: Trade):
        position = self.position(trade.symbol)
        if trade.change > 0 and not position.committed:  # nothing held, nothing on its way
            self.buy(trade.symbol, self.quantity)
        elif trade.change < 0 and position.sellable:
            self.sell(trade.symbol, position.sellable)
'''
_CONFIG = """\
# papertape backtest run.toml
# Every option of `papertape backtest --help` may stand here, with underscores for dashes.
# What the command line says comes first, then the environment (PAPERTAPE__CASH=50000), then this file.

strategy = "my_strategy.py"
data = ["sample"]            # files, folders or patterns; paths are meant from this file's folder
cash = 100_000
fees = "ib-fixed"            # ib-tiered, per-share:0.005:1, percent:0.1, none
slippage = "1bp"             # worse than the market by this much
out = "runs"

[parameters]                 # of the strategy, as --set up=0.03
up = 0.03

[guard]                      # a run that crosses a limit stops trading
max_drawdown = "10%"
"""
_README = """\
# My papertape project

    papertape sample sample --symbols 10 --days 3
    papertape backtest run.toml
    papertape show last --fills

- `my_strategy.py` is the strategy; change it.
- `run.toml` says what to run it on.
- `papertape backtest run.toml --grid up=0.02,0.03,0.05` compares parameters.
- `papertape strategies` lists strategies to learn from.

The sample is a synthetic market: a result on it says nothing about a real one.
"""
FILES = {"my_strategy.py": _STRATEGY, "run.toml": _CONFIG, "README.md": _README}


def init(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Made if missing; nothing in it is overwritten.")],
) -> int:
    """Write a small project of your own to begin with.

    A commented strategy, a configuration, and how to run them.
    """
    from papertape.cli.text import clean, emit

    target = Path(folder)
    for name in FILES:
        if os.path.lexists(target / name):
            raise ConfigError(f"{target / name} is there already; choose another folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            with (target / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}; choose another folder") from None
    emit(f"wrote {', '.join(FILES)} to {clean(target)}\n\nnext:")
    steps = [line.strip() for line in _README.splitlines() if line.startswith("    papertape")]
    emit("\n".join(f"  {step}" for step in (f"cd {shlex.quote(folder)}", *steps)))
    return 0
