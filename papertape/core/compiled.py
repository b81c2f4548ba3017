"""Compiling kernels with Numba: one decorator, and the one place that decides when cached machine code is stale.

Numba keys its disk cache by a function's own file only. Machine code of a kernel also contains the helpers that it
calls and the constants that it reads, wherever they are written, so Numba's own cache goes stale silently when one of
those changes. Here the cache folder's *name* is a hash of everything that can end up in machine code: the source of
every module of ours that holds a compiled function and of every module of ours that such a module imports, plus the
versions of Numba, llvmlite, NumPy and Python, the processor, and Numba's code generation settings. A change of any of
them means another folder; old folders are pruned. Results never depend on what is cached.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher
from numba.core.runtime import rtsys

from papertape.core.folders import cache_folder

PACKAGES = ("papertape", "brokers", "strategies", "feeds", "backtests", "gateway")
"""Our top-level packages, which lie side by side in a checkout and in an installation."""
FOLDERS_KEPT = 8
"""Generations of machine code that stay on disk: a few interpreters and branches side by side, not all of history."""

_ROOT = Path(__file__).resolve().parents[2]
_MARK = re.compile(rb"^[ \t]*@(?:\w+\.)*compiled\b|=[ \t]*(?:\w+\.)*compiled\(", re.MULTILINE)
"""How a module shows that it has a compiled function; one that hides it is compiled in memory, never kept stale."""
_FROM = re.compile(rb"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)", re.MULTILINE)
_IMPORT = re.compile(rb"^[ \t]*import[ \t]+([\w., \t]+)", re.MULTILINE)
_CODEGEN_SETTINGS = (
    "OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "FULL_TRACEBACKS", "LOOP_VECTORIZE", "SLP_VECTORIZE", "CPU_NAME",
    "CPU_FEATURES", "ENABLE_AVX", "ENABLE_PROFILING",
)  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])
_log = logging.getLogger("papertape")
_dispatchers: list[Any] = []
_listeners: list[Callable[[str], None]] = []
_entry_points: dict[Any, Callable[..., Any]] = {}


def _sources(root: Path) -> dict[str, bytes]:
    """Module name -> source of every module of ours."""
    found: dict[str, bytes] = {}
    for package in PACKAGES:
        for folder, subfolders, files in os.walk(root / package):
            subfolders[:] = [name for name in subfolders if name != "__pycache__"]
            prefix = os.path.relpath(folder, root).replace(os.sep, ".")
            for name in files:
                if name.endswith(".py"):
                    module = prefix if name == "__init__.py" else f"{prefix}.{name[:-3]}"
                    found[module] = Path(folder, name).read_bytes()
    return found


def _imports(source: bytes) -> Iterator[str]:
    """Names of the modules that a source may import: of ``from a import b`` both ``a`` and ``a.b``."""
    for match in _FROM.finditer(source):
        base = match[1].decode()
        yield base
        for name in re.findall(r"\w+", match[2].decode(errors="replace")):
            yield f"{base}.{name}"
    for match in _IMPORT.finditer(source):
        yield from re.findall(r"[\w.]+", match[1].decode())


@functools.cache
def kernel_modules(root: Path = _ROOT) -> dict[str, bytes]:
    """Module name -> source, sorted: the modules with compiled functions, and all of ours that they import."""
    sources = _sources(root)
    reached: dict[str, bytes] = {}
    waiting = [name for name, source in sources.items() if b"compiled" in source and _MARK.search(source)]
    while waiting:
        name = waiting.pop()
        if name in sources and name not in reached:
            reached[name] = sources[name]
            waiting.extend(_imports(sources[name]))
    return dict(sorted(reached.items()))


@functools.cache
def kernel_key(root: Path = _ROOT) -> str:
    """Hex digest of everything that can end up in machine code; see the module's docstring."""
    digest = hashlib.sha256()
    surroundings = [numba.__version__, llvmlite.__version__, np.__version__, sys.version, sys.implementation.name]
    surroundings += [llvmlite.binding.get_process_triple(), llvmlite.binding.get_host_cpu_name()]
    surroundings += [f"{name}={getattr(config, name, None)}" for name in _CODEGEN_SETTINGS]
    digest.update("\0".join(surroundings).encode())
    for name, source in kernel_modules(root).items():
        digest.update(f"\0{name}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()[:32]


@functools.cache
def kernel_folder() -> Path:
    """Folder of this key's machine code. Other keys' folders beyond ``FOLDERS_KEPT`` are removed when it is new."""
    folder = cache_folder() / "kernels" / kernel_key()
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)  # used now: what is pruned is what was used longest ago
    if is_new:
        _prune(folder.parent)
    return folder


@functools.cache
def _kernel_folder_text() -> str:
    return str(kernel_folder())


def _prune(kernels: Path) -> None:
    """Remove all but the ``FOLDERS_KEPT`` last used folders; another process may be doing the same."""
    used: list[tuple[float, Path]] = []
    for folder in kernels.iterdir():
        with contextlib.suppress(FileNotFoundError):
            used.append((folder.stat().st_mtime, folder))
    for _, folder in sorted(used, reverse=True)[FOLDERS_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def will_compile() -> bool:
    """Whether nothing is cached for this key yet: the first run on this machine, or the first after a change."""
    return not config.DISABLE_JIT and next(kernel_folder().glob("*/*.nbc"), None) is None


def on_compiling(listener: Callable[[str], None]) -> None:
    """Have ``listener(name of the function)`` called whenever one is about to be compiled for want of a cached one."""
    _listeners.append(listener)


def compile_counts() -> tuple[int, int]:
    """(taken from the disk cache, compiled) signatures of this process's ``compiled`` functions that it called."""
    statistics = [dispatcher.stats for dispatcher in _dispatchers]
    return (
        sum(sum(each.cache_hits.values()) for each in statistics),
        sum(sum(each.cache_misses.values()) for each in statistics),
    )


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock on a file among processes."""
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _KernelLocator(_CacheLocator):
    """Tells Numba to keep a module's functions in ``kernel_folder()/<module>``, wherever the module is installed."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._py_file = file  # Numba names it in a warning
        self._module = function.__module__
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _KernelLocator:
        """Numba's way to make one."""
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        """Folder of the function's module."""
        return os.path.join(_kernel_folder_text(), self._module)

    def get_source_stamp(self) -> str:
        """What must be equal for a cached function to be used."""
        return kernel_key()

    def get_disambiguator(self) -> str:
        """Tells functions of one name in one module apart."""
        return str(self._line)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = (_KernelLocator,)


class _KernelCache(FunctionCache):
    """Numba's cache of one function, made safe for several processes that compile at the same time.

    Numba reads the index, picks a file name and writes both in separate steps; two processes that do so for two
    signatures can pick one name, and a third would then run the wrong machine code.
    """

    _impl_class = _KernelCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The function's cached machine code for a signature, None where there is none that can be read."""
        try:
            found = self._loaded(sig, target_context)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _log.debug("cached machine code of %s is unreadable: %s", self._py_func.__qualname__, error)
            found = None
        if found is None:
            for listener in _listeners:
                listener(self._py_func.__qualname__)
        return found

    def _loaded(self, sig: Any, target_context: Any) -> Any:
        """What Numba's own method returns, without waiting for the compiler to be made ready.

        Numba's method begins with filling the tables of all functions that it can compile, which takes longer than
        most runs. Machine code needs none of them, only Numba's memory management; what is compiled later in the
        process has the tables filled by the compiler itself.
        """
        if not hasattr(self, "_load_overload"):
            return super().load_overload(sig, target_context)
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code; a full or read-only disk costs the next process time and this one nothing."""
        try:
            with _exclusive(kernel_folder() / "lock"):
                super().save_overload(sig, data)
        except OSError as error:
            _log.warning("papertape: compiled code cannot be kept (%s); it will be compiled again next time", error)


@functools.cache
def _is_ours(file: str) -> bool:
    """Whether a source file lies in our folder; asked for every function, and slow to find out."""
    return Path(file).resolve().is_relative_to(_ROOT)


def compiled(function: F) -> F:
    """Compile a function of ours with Numba at its first call, and keep its machine code on disk.

    Division follows NumPy (x / 0 is infinite or NaN). Functions that are given to it as arguments, fast-math and
    parallel loops are not for kernels: the first defeats the cache, the others make results depend on the machine.
    With ``NUMBA_DISABLE_JIT=1`` the function stays plain Python. A function whose module :func:`kernel_key` does not
    cover, such as one in a user's file, is compiled in memory.
    """
    dispatcher: Any = compiled_in_memory(function)
    in_key = function.__module__ in kernel_modules()
    if isinstance(dispatcher, Dispatcher) and in_key and _is_ours(function.__code__.co_filename):
        dispatcher._cache = _KernelCache(function)
        _dispatchers.append(dispatcher)
    result: F = dispatcher
    return result


def compiled_in_memory(function: F) -> F:
    """Compile a function with Numba at its first call, for this process only: for functions in users' own files."""
    result: F = numba.njit(error_model="numpy")(function)
    return result


def entry_point(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """The machine code of a compiled function for arguments of these types, without Numba's look at their types.

    For functions called once per wake-up, where that look costs more than the work. There is one for each function,
    made for the first ``arguments``: every caller must keep to the same types (record and array layouts), since
    nothing checks them any more. Plain Python where compiling is disabled.
    """
    if not isinstance(function, Dispatcher):
        return function
    code = _entry_points.get(function)
    if code is None:
        signature = tuple(function.typeof_pyval(each) for each in arguments)
        function.compile(signature)
        code = _entry_points[function] = function.overloads[signature].entry_point
    return code
