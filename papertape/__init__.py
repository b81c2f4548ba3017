"""Backtest, paper trade and trade live with one strategy source; what a strategy's author imports is all here.

A name is imported from its module when it is first asked for, so that ``from papertape import Strategy`` loads no
broker, no feed and no compiler, and so that no layer imports the ones above it. ``__init__.pyi`` says the same to
type checkers; a test holds the two together.
"""

import importlib

_EXPORTS: dict[str, tuple[str, ...]] = {
    "papertape.core": ("errors",),
    "papertape.core.filters": ("changed", "condition", "crossed", "every", "moved"),
    "papertape.core.model": (
        "Bar", "Fill", "Instrument", "InstrumentType", "Mode", "OrderStatus", "OrderType", "OrderUpdate", "Quote",
        "Scan", "ScanRow", "ScanSpec", "Side", "TimeInForce", "Trade",
    ),
    "papertape.runs": ("Run", "open_run"),
}  # fmt: skip
"""Module -> the names that it provides here; a name that is no attribute of it is a module inside it."""

_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name from where it lives."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'papertape' has no attribute {name!r}")
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
