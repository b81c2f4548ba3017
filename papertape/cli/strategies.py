"""``papertape strategies``: what there is, and what each lets one set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from strategies.base import Strategy

_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def strategies(
    strategy: Annotated[str | None, typer.Argument(metavar="[STRATEGY]", help="Only this one; may be a file.")] = None,
) -> int:
    """List strategies with their parameters and bounds.

    A parameter is set with papertape backtest STRATEGY --set NAME=VALUE.
    """
    from papertape.cli.strategy_source import BUILT_IN, load_strategy
    from papertape.cli.text import emit

    names = [strategy] if strategy is not None else list(BUILT_IN)
    emit("\n\n".join("\n".join(strategy_lines(name, load_strategy(name))) for name in names))
    return 0


def strategy_lines(name: str, strategy: type[Strategy]) -> list[str]:
    """A strategy's first line of help and its parameters."""
    from papertape.cli.text import clean, heading, table, wrapped

    summary = (strategy.__doc__ or "").strip().partition("\n\n")[0]
    lines = [heading(clean(name)), *wrapped(" ".join(summary.split()))]
    known = strategy.parameters()
    if not known:
        return [*lines, "  no parameters"]
    rows = [(each.name, _shown(each.default), _bounds(each.bounds), each.help) for each in known.values()]
    return [*lines, *table(("parameter", "default", "bounds", ""), rows, left=("parameter", "default", "bounds", ""))]


def _shown(value: Any) -> str:
    return "none" if value is None or value == [] else str(value)


def _bounds(bounds: Any) -> str:
    return ", ".join(f"{_SIGNS[name]} {value:g}" for name, value in bounds.items())
