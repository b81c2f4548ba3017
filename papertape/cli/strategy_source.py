"""From what the user names as a strategy to its class: a built-in name, a file, a file and a class, a module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from papertape.cli.failures import UserCodeError, failure_in
from papertape.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from strategies.base import Strategy

BUILT_IN = ("tick_momentum", "top_movers", "sma_cross", "opening_range_breakout")
"""Strategies that come with papertape; each is the module of its name."""
BACKTRADER = "backtrader"
NEEDS_BACKTRADER = (
    "backtrader strategies need backtrader and greenlet, which are not installed: pip install '.[backtrader]'"
)
_PRIVATE = "papertape_user_"
"""Before the name of a module made of a user's file, so that it never takes the name of another."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What classes are looked for: their base, what they are called, and how the base is spelled in a file."""

    base: type
    words: str
    spelled: str


def load_strategy(text: str, framework: str = "papertape") -> type[Strategy]:
    """The class that ``text`` names; one written for another framework as the class of ours that hosts it.

    Raises ConfigError, and UserCodeError where importing the user's file fails.
    """
    if framework == BACKTRADER:
        return _hosted(text)
    return cast("type[Strategy]", _class_of(text, _ours()))


def _hosted(text: str) -> type[Strategy]:
    """A backtrader strategy's class as one of papertape's."""
    try:
        from backtests.cerebro_hosted import STRATEGY, hosted
    except ModuleNotFoundError as error:
        if error.name not in ("backtrader", "greenlet"):
            raise
        raise ConfigError(NEEDS_BACKTRADER) from None
    if text in BUILT_IN:
        raise ConfigError(f"{text} is written for papertape; leave out --framework backtrader")
    return hosted(_class_of(text, _Kind(STRATEGY, "backtrader strategy", "bt.Strategy")))


def _ours() -> _Kind:
    from strategies.base import Strategy

    return _Kind(Strategy, "Strategy", "Strategy")


def _class_of(text: str, kind: _Kind) -> type:
    """The class of a kind that ``text`` names."""
    if not text.strip():
        raise ConfigError("no strategy is named; name one as tick_momentum or my_file.py")
    if text in BUILT_IN:
        return _only_class(importlib.import_module(f"strategies.{text}"), "", text, kind)
    name, colon, wanted = text.rpartition(":")
    if not colon or not wanted.isidentifier():
        name, wanted = text, ""
    if name.endswith(".py"):
        return _only_class(_import_file(Path(name)), wanted, name, kind)
    if wanted:
        return _only_class(_import_module(name), wanted, name, kind)
    if Path(text).is_dir():
        raise ConfigError(f"{text} is a folder; name a strategy's file, as {Path(text) / 'my_strategy.py'}")
    raise ConfigError(f'no strategy "{text}" (a file is named as my_file.py){did_you_mean(text, BUILT_IN)}')


def _import_file(path: Path) -> ModuleType:
    """Import a file under a private name. Its folder comes last on the path, so that it hides nothing of anyone's."""
    if not path.is_file():
        known = sorted(each.name for each in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise ConfigError(f"no such file: {path}{did_you_mean(path.name, known) if known else ''}")
    path = path.resolve()
    module_name = _PRIVATE + path.stem
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    _reach(path.parent)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}:{error.offset or 0}: {error.msg}") from None
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == BACKTRADER:
            raise ConfigError(f"{path.name}: {NEEDS_BACKTRADER}") from None
        raise failure_in(error, f"importing {path.name}") from error
    return module


def _import_module(name: str) -> ModuleType:
    """Import a module by its dotted name, from what is installed or from the current folder."""
    _reach(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(f'no module "{name}"; name a file as my_file.py:MyStrategy') from None
        raise failure_in(error, f"importing {name}") from error
    except Exception as error:
        raise failure_in(error, f"importing {name}") from error


def _reach(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _only_class(module: ModuleType, wanted: str, source: str, kind: _Kind) -> type:
    """The module's strategy class: the one named, else the only one that it defines."""
    own = {
        name: each
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, kind.base) and each.__module__ == module.__name__
    }
    if wanted:
        found = getattr(module, wanted, None)
        if isinstance(found, type) and issubclass(found, kind.base):
            return found
        if found is not None:
            _refuse_other([found], source, kind)
            raise ConfigError(f"{source}: {wanted} is no {kind.words}; write class {wanted}({kind.spelled})")
        raise ConfigError(f'{source} has no class "{wanted}"{did_you_mean(wanted, own)}')
    if not own:
        _refuse_other(
            [each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__], source, kind
        )
        raise ConfigError(f"{source} defines no {kind.words}; write class MyStrategy({kind.spelled}) in it")
    if len(own) > 1:
        raise ConfigError(f"{source} defines {', '.join(own)}; name one as {source}:{next(iter(own))}")
    return next(iter(own.values()))


def _refuse_other(classes: Sequence[object], source: str, kind: _Kind) -> None:
    """Say which framework a class is written for, where it is the other one. Imports neither."""
    for each in classes:
        bases = [f"{base.__module__}.{base.__qualname__}" for base in each.__mro__] if isinstance(each, type) else []
        name = getattr(each, "__name__", "")
        if "backtrader.strategy.Strategy" in bases:
            raise ConfigError(f"{source}: {name} is written for backtrader; add --framework backtrader")
        if "strategies.base.Strategy" in bases and kind.spelled != "Strategy":
            raise ConfigError(f"{source}: {name} is written for papertape; leave out --framework backtrader")


__all__ = ["BUILT_IN", "UserCodeError", "load_strategy"]
