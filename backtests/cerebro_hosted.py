"""From a class of backtrader's to one of papertape's that hosts it: its name, its parameters, its source."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from backtests.cerebro_host import CerebroHost
from strategies.parameters import Parameter

STRATEGY: type = bt.Strategy
"""The base of what can be hosted."""
_OWN = {
    "bars": Parameter(
        "bars", str, None, {}, 'length of the bars, as "1m", or "ticks"; the tape\'s own where not given'
    ),
    "backfill": Parameter(
        "backfill", int, None, {"ge": 0}, "bars of the past to hear first; as many as its indicators need"
    ),
    "preload": Parameter(
        "preload", bool, True, {}, "whether Cerebro gets a tape's bars all at once, as it does by default"
    ),
    "allow_short": Parameter("allow_short", bool, False, {}, "whether it may sell what it does not hold"),
}
"""Parameters of the host."""
_TAKEN = "papertape_"
"""Before a parameter of the host's where the strategy has one of that name."""
_PLAIN = (bool, int, float, str)


def hosted(theirs: Any) -> type[CerebroHost]:
    """A strategy class of papertape's that runs a backtrader one."""
    defaults = dict(theirs.params._getitems())
    names = {name: _TAKEN + name if name in defaults else name for name in _OWN}
    parameters = {given: Parameter(given, _OWN[name].type, _OWN[name].default, _OWN[name].bounds, _OWN[name].help)
                  for name, given in names.items()}  # fmt: skip
    for name, default in defaults.items():
        parameters[name] = Parameter(name, type(default) if isinstance(default, _PLAIN) else Any, default, {})
    made: type[CerebroHost] = type(
        theirs.__name__,
        (CerebroHost,),
        {
            "__module__": theirs.__module__,
            "__qualname__": theirs.__qualname__,
            "__doc__": theirs.__doc__,
            "__firstlineno__": getattr(theirs, "__firstlineno__", 0),
            "hosted_class": theirs,
            "own_names": names,
            "parameters": classmethod(lambda cls: parameters),
        },
    )
    return made
