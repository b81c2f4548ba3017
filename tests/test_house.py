"""House rules that no other tool checks, over everything that is tracked."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("papertape", "strategies", "feeds", "brokers", "backtests", "gateway")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
NOT_OURS = {"LICENSE"}

LONG_FILES: dict[str, str] = {}
"""File -> why it is one thing although it is longer than FILE_LINES_MAX."""
LONG_FUNCTIONS: dict[str, str] = {
    "papertape/cli/paper.py:paper": "its signature is the list of its options",
}
"""file:function -> why it is one thing although it is longer than FUNCTION_LINES_MAX."""

# In pieces, so that this file keeps its own rules.
MACHINE_PATH = re.compile(r"(?<![\w.])/" + r"(?:work|root|farm)(?:/|\b(?=[\s\"'`,;:)]|$))")
REGISTRY_HOST = re.compile(
    "|".join(
        re.escape(a + "." + b)
        for a, b in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("anaconda", "org")]
    )
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|raise NotImplemented" + r"Error)\b")


@cache
def tracked() -> tuple[str, ...]:
    """All tracked files of text, by their path from the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(name for name in listed.split("\0") if name and (ROOT / name).is_file() and text(name) is not None)


@cache
def text(name: str) -> str | None:
    """A file's text, None where it is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def python_files(*folders: str) -> list[str]:
    return [name for name in tracked() if name.endswith(".py") and (not folders or name.split("/")[0] in folders)]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(text(name) or "")


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_with(pattern: re.Pattern[str], names: list[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in names
        for number, line in enumerate((text(name) or "").splitlines(), 1)
        if pattern.search(line)
    ]


def test_there_is_something_to_check() -> None:
    assert "papertape/core/model.py" in python_files("papertape")
    assert "pyproject.toml" in tracked()


def test_no_file_is_longer_than_one_thing_needs() -> None:
    long = {name for name in python_files() if (text(name) or "").count("\n") > FILE_LINES_MAX}
    assert long == set(LONG_FILES)


def test_no_function_is_longer_than_one_thing_needs() -> None:
    long = {
        f"{name}:{node.name}"
        for name in python_files()
        for node in functions(name)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == set(LONG_FUNCTIONS)


def test_no_exception_is_swallowed() -> None:
    swallowed = [
        f"{name}:{node.lineno}"
        for name in python_files()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(each, ast.Pass) or ast.unparse(each) == "..." for each in node.body)
    ]
    assert swallowed == []


def test_no_path_of_a_machine_is_tracked() -> None:
    assert lines_with(MACHINE_PATH, [name for name in tracked() if name not in NOT_OURS]) == []


def test_no_package_registry_is_named() -> None:
    assert lines_with(REGISTRY_HOST, list(tracked())) == []


def test_nothing_is_left_unfinished() -> None:
    assert lines_with(UNFINISHED, python_files()) == []


@pytest.mark.parametrize(
    ("pattern", "found", "passed"),
    [
        (MACHINE_PATH, ["see /wo" + "rk/x", "'/ro" + "ot'", "cd /fa" + "rm/"], ["net/work/x", "/rooted", "homework/"]),
        (REGISTRY_HOST, ["https://py" + "pi.org/simple", "files.python" + "hosted.org"], ["pypi", "organ"]),
        (UNFINISHED, ["# TO" + "DO: later", "raise NotImplemented" + "Error"], ["todos", "NotImplemented"]),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], found: list[str], passed: list[str]) -> None:
    assert [line for line in found if not pattern.search(line)] == []
    assert [line for line in passed if pattern.search(line)] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock"])
def test_a_lock_names_no_place_and_hashes_everything(lock: str) -> None:
    content = text(lock) or ""
    assert not re.search(r"https?:|file:|--index|--extra-index|--find-links|--trusted", content)
    requirements = [each for each in content.replace("\\\n", " ").splitlines() if re.match(r"[a-z0-9]", each)]
    assert len(requirements) > 10
    assert [each[:60] for each in requirements if "==" not in each or "--hash=sha256:" not in each] == []


def test_what_the_project_declares_is_in_the_lock() -> None:
    project = tomllib.loads(text("pyproject.toml") or "")
    declared = {re.match(r"[\w-]+", each)[0] for each in project["project"]["dependencies"]}  # type: ignore[index]
    locked = set(re.findall(r"^([a-z0-9-]+)==", text("requirements.lock") or "", re.MULTILINE))
    assert declared <= locked


def test_every_public_name_says_what_it_is() -> None:
    silent = []
    for name in python_files(*PACKAGES):
        if ast.get_docstring(tree(name)) is None:
            silent.append(name)
        waiting: list[tuple[str, ast.AST]] = [("", node) for node in tree(name).body]
        while waiting:
            prefix, node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                if ast.get_docstring(node) is None:
                    silent.append(f"{name}:{node.lineno}: {prefix}{node.name}")
                if isinstance(node, ast.ClassDef):
                    waiting += [(f"{node.name}.", each) for each in node.body]
    assert sorted(silent) == []


def test_every_test_can_fail() -> None:
    checks = re.compile(
        r"Assert\(|attr='raises'|attr='warns'|id='(?:assert|check|expect|verify|run)_?|attr='assert_|attr='run'"
    )
    idle = [
        f"{name}:{node.lineno}: {node.name}"
        for name in python_files("tests")
        for node in functions(name)
        if node.name.startswith("test_") and not checks.search(ast.dump(node))
    ]
    assert idle == []


def test_compiled_functions_are_compiled_in_one_way() -> None:
    direct = re.compile(r"^\s*(?:@|.*\b)(?:numba\.)?n?jit\(|^\s*from numba import .*jit", re.MULTILINE)
    names = [name for name in python_files(*PACKAGES) if name != "papertape/core/compiled.py"]
    assert lines_with(direct, names) == []
