"""From a class of backtrader's to one of papertape's that hosts it: its name, its parameters, its source."""

from __future__ import annotations

import datetime as dt
from typing import Any

import backtrader as bt
import msgspec

from backtests.cerebro_host import CerebroHost
from papertape.core.errors import ConfigError
from strategies.parameters import Parameter

STRATEGY: type = bt.Strategy
"""The base of what can be hosted."""
_OWN = {
    "bars": Parameter("bars", str, None, {}, 'length of the bars, as "1m", or "ticks"; default: the tape\'s own'),
    "backfill": Parameter(
        "backfill", int, None, {"ge": 0}, "bars of the past to hear first; default: what indicators need"
    ),
    "preload": Parameter("preload", bool, True, {}, "whether Cerebro gets a tape's bars all at once"),
    "allow_short": Parameter("allow_short", bool, False, {}, "whether it may sell what it does not hold"),
}
_TAKEN = "papertape_"
"""Before a parameter of the host's where the strategy has one of that name."""
_MOMENTS: dict[type, str] = {
    dt.time: "a time as 15:55", dt.date: "a date as 2024-06-03", dt.datetime: "a time as 2024-06-03T15:55",
}  # fmt: skip
_SET_AS_TEXT = (bool, int, float, str)


class TheirParameter(Parameter):
    """A parameter of a backtrader strategy, which may hold anything."""

    __slots__ = ()

    def check(self, value: Any) -> Any:
        """``value`` by the type of the default: a word for a word, a number for a number; what is no text as it is.

        ConfigError where text can not be made one of those.
        """
        if value is self.default or not isinstance(value, str):
            return value
        kind = type(self.default)
        if kind is int and not value.strip().lstrip("+-").replace("_", "").isdigit():
            kind = float  # backtrader's periods and sizes are written 10, and often set to 10.5
        if kind in _SET_AS_TEXT:
            return Parameter(self.name, kind, self.default, self.bounds).check(value)
        if kind in (list, tuple):
            return kind(_read(part) for part in value.split(",") if part.strip())
        if kind in _MOMENTS:
            return self._moment(kind, value)
        if self.default is None:
            return _read(value)
        raise ConfigError(
            f"parameter {self.name}: a {kind.__name__} can not be set as text; change its default in the file"
        )

    def _moment(self, kind: Any, value: str) -> Any:
        try:
            return kind.fromisoformat(value.strip())
        except ValueError:
            raise ConfigError(f"{self.name}={value!r}: {_MOMENTS[kind]} is needed") from None


def _read(text: str) -> Any:
    """A number, true, false or none where the text is one; else the text."""
    word = text.strip()
    plain = {"none": None, "true": True, "yes": True, "false": False, "no": False}
    if word.lower() in plain:
        return plain[word.lower()]
    for kind in (int, float):
        try:
            return msgspec.convert(word, kind, strict=False)
        except msgspec.ValidationError:
            continue
    return text


def hosted(theirs: Any) -> type[CerebroHost]:
    """A strategy class of papertape's that runs a backtrader one."""
    defaults = dict(theirs.params._getitems())
    names = {name: _TAKEN + name if name in defaults else name for name in _OWN}
    parameters: dict[str, Parameter] = {
        given: Parameter(given, _OWN[name].type, _OWN[name].default, _OWN[name].bounds, _OWN[name].help)
        for name, given in names.items()
    }
    for name, default in defaults.items():
        parameters[name] = TheirParameter(name, type(default), default, {})
    namespace = {
        "__module__": theirs.__module__,
        "__qualname__": theirs.__qualname__,
        "__doc__": theirs.__doc__,
        "hosted_class": theirs,
        "own_names": names,
        "all_parameters": parameters,
    }
    made: type[CerebroHost] = type(theirs.__name__, (CerebroHost,), namespace)
    return made
