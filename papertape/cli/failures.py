"""What goes wrong in a user's own code: shown with the user's frames only, and where in the run it was."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from papertape.core.errors import StrategyError, UserError

if TYPE_CHECKING:
    from strategies.base import Strategy

_ROOT = Path(__file__).resolve().parents[2]
_OURS = tuple(
    str(_ROOT / name) for name in ("papertape", "strategies", "feeds", "brokers", "backtests", "gateway")
)  # fmt: skip
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class UserCodeError(UserError):
    """The user's own code raised; the message holds the traceback of the user's frames and a last line for all."""


def is_users(file: str) -> bool:
    """Whether a source file is the user's: neither ours, nor installed, nor made up by the interpreter."""
    return not file.startswith(("<", *_OURS, *_INSTALLED))


def failure_in(error: BaseException, doing: str, own_file: str = "") -> UserCodeError:
    """The error to show for ``error``, which happened while ``doing``. ``own_file`` counts as the user's."""
    frames = [
        each
        for each in traceback.extract_tb(error.__traceback__)
        if is_users(each.filename) or each.filename == own_file
    ]
    lines = ["Traceback of your code (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    what = traceback.format_exception_only(error)[-1].strip()
    return UserCodeError("".join(lines) + f"{what}\nerror: {doing} failed, see above")


def explained(error: Exception, strategy: Strategy) -> Exception:
    """``error`` of a run as it is to be raised: the user's own with its place and time, any other as it is."""
    frames = list(_frames(error.__traceback__))
    file = strategy_file(strategy)
    is_theirs = any(is_users(frame.f_code.co_filename) for frame, _ in frames)
    if not strategy.has_begun or (isinstance(error, UserError) and not isinstance(error, StrategyError)):
        return error  # the latter says by itself what is wrong
    where = f"{type(strategy).__name__}.{_callback(frames, strategy)} at {_now(strategy)}"
    if isinstance(error, StrategyError):
        lines = [f"{Path(file).name}:{line}: " for frame, line in frames if frame.f_code.co_filename == file]
        return StrategyError(f"{lines[-1] if lines else ''}{error} (in {where})")
    return failure_in(error, where, file) if is_theirs else error


def strategy_file(strategy: Strategy) -> str:
    """The file that a strategy's class was written in."""
    return str(getattr(sys.modules.get(type(strategy).__module__), "__file__", ""))


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _callback(frames: list[tuple[FrameType, int]], strategy: Strategy) -> str:
    """The outermost of the strategy's callbacks; what a subscription's filter does is not in one.

    Of a strategy that hosts one of another framework: the outermost of the user's functions.
    """
    if hasattr(strategy, "hosted"):
        return next((frame.f_code.co_name for frame, _ in frames if is_users(frame.f_code.co_filename)), "run")
    for frame, _ in frames:
        if frame.f_locals.get("self") is strategy and frame.f_code.co_name.startswith("on_"):
            return frame.f_code.co_name
    return "filter"


def _now(strategy: Strategy) -> str:
    """The time that a strategy had come to, in the exchange's zone."""
    from papertape.moments import time_text

    return time_text(strategy.now, str(strategy.clock.tzinfo))
