"""Backtest, paper trade and trade live with one strategy source; what a strategy's author imports is all here.

A name is imported from its module when it is first asked for, so that ``from papertape import Strategy`` loads no
broker and no feed, and so that no layer imports the ones above it. ``__init__.pyi`` says the same to
type checkers; a test holds the two together.
"""

import functools
import importlib
import os
import sys

_OWN_PACKAGES = ("strategies", "feeds", "brokers", "backtests", "gateway")
_EXPORTS: dict[str, tuple[str, ...]] = {
    "backtests.compare.comparison": ("Comparison",),
    "backtests.compare.opening": ("compare",),
    "backtests.run": ("backtest",),
    "papertape.core": ("errors", "scanner"),
    "papertape.core.delivery": ("Bars",),
    "papertape.core.filters": ("changed", "condition", "crossed", "every", "moved"),
    "papertape.core.guard": ("GuardSettings",),
    "papertape.core.ledger": ("Account", "Position"),
    "papertape.core.model": (
        "Bar", "Fill", "Instrument", "InstrumentType", "Mode", "OrderStatus", "OrderType", "OrderUpdate", "Quote",
        "Scan", "ScanRow", "ScanSpec", "Side", "TimeEvent", "TimeInForce", "Trade",
    ),
    "papertape.core.orders": ("Order",),
    "papertape.core.requests": ("Snapshot",),
    "papertape.runs": ("Run", "open_run"),
    "strategies.base": ("Bracket", "Strategy"),
    "strategies.parameters": ("parameter",),
}  # fmt: skip
"""Module -> the names that it provides here; a name that is no attribute of it is a module inside it."""

_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [*_HOMES]  # noqa: PLE0604  # the names of the table, for `from papertape import *`


@functools.cache
def _claim_packages() -> None:
    """Import our other top-level packages from beside this one, whatever folders of their names the user has.

    A program in a folder that holds a ``strategies`` of its own has that folder first on ``sys.path``. Raises
    ImportError where such a package was imported already: one name can only be one package.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, root)
    try:
        for name in _OWN_PACKAGES:
            found = os.path.dirname(importlib.import_module(name).__file__ or "nowhere")
            if os.path.realpath(found) != os.path.realpath(os.path.join(root, name)):
                raise ImportError(
                    f"{found} hides papertape's own {name!r}: rename that folder, or import papertape first"
                )
    finally:
        sys.path.remove(root)


def __getattr__(name: str) -> object:
    """Import a public name from where it lives."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'papertape' has no attribute {name!r}")
    if home.partition(".")[0] in _OWN_PACKAGES:
        _claim_packages()
    module = importlib.import_module(home)
    try:
        value = getattr(module, name)
    except AttributeError:
        value = importlib.import_module(f"{home}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*globals(), *_HOMES])
