"""What `from papertape import ...` hands out is one list, the same for Python and for type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import papertape

EXPORTS: dict[str, tuple[str, ...]] = vars(papertape)["_EXPORTS"]
STUB = Path(papertape.__file__).with_suffix(".pyi")


def names_of_the_stub() -> dict[str, str]:
    """Name -> module, as type checkers see it; each is re-exported by `from m import n as n`."""
    names = {}
    for node in ast.parse(STUB.read_text()).body:
        assert isinstance(node, ast.ImportFrom), ast.unparse(node)
        for alias in node.names:
            assert alias.asname == alias.name, ast.unparse(node)
            names[alias.name] = str(node.module)
    return names


def test_type_checkers_and_python_see_the_same_names_from_the_same_modules() -> None:
    table = {name: module for module, names in EXPORTS.items() for name in names}
    assert table == names_of_the_stub()


@pytest.mark.parametrize("name", sorted(name for names in EXPORTS.values() for name in names))
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(papertape, name)
    module = names_of_the_stub()[name]
    assert getattr(sys.modules[module], name) is value
    assert name in dir(papertape)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'papertape' has no attribute 'Strateegy'"):
        papertape.Strateegy  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys; before = set(sys.modules); import papertape; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in loaded if name.partition(".")[0] in {"papertape", "strategies", "feeds", "brokers"}]
    assert ours == ["papertape"]
    assert not {"numpy", "pandas", "numba", "msgspec"} & set(loaded)


def test_a_star_import_takes_every_public_name_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from papertape import *", names)
    assert set(names) - {"__builtins__"} == set(names_of_the_stub())
