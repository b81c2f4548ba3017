"""Machine code is compiled once on a machine, and never used after any source that is in it has changed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from papertape.core import compiled as subject

ROOT = Path(subject.__file__).resolve().parents[2]

KERNEL = """
from papertape.core.compiled import compiled
from brokers.trial_helper import scaled
from papertape.core.trial_constants import OFFSET

@compiled
def kernel(x):
    return scaled(x) + OFFSET
"""
HELPER = """
from papertape.core.compiled import compiled

@compiled
def scaled(x):
    return 2.0 * x
"""
PROGRAM = """
import json
from papertape.core import compiled
names = []
compiled.on_compiling(names.append)
will = compiled.will_compile()
from papertape.core.trial_kernel import kernel
value = kernel(10.0)
hits, compiled_now = compiled.compile_counts()
folder = str(compiled.kernel_folder())
print(json.dumps(dict(will=will, value=value, hits=hits, compiled=compiled_now, names=names, folder=folder)))
"""


RICH_KERNEL = """
import math
import numpy as np
from papertape.core.compiled import compiled

@compiled
def kernel(x):
    if x < 0.0:
        raise ValueError("below zero")
    numbers, rows = [x, 2.0, 1.0], np.zeros((3, 3))
    for k in range(3):
        rows[k] = np.sqrt(np.arange(3.0)) + k
    numbers.append(rows.T.copy().sum())
    return max(numbers) + math.gamma(x)
"""
BESIDE_OTHERS = """
import json, sys
import numba, numpy as np
from papertape.core import compiled
from papertape.core.trial_kernel import kernel

@numba.njit
def of_the_user(x):
    return kernel(x) + np.arange(3.0).sum() + len([y for y in range(4) if y % 2])

values = {}
for name in sys.argv[1].split(","):
    values[name] = of_the_user(10.0) if name == "user" else kernel(10.0)
try:
    kernel(-1.0)
except ValueError as error:
    values["error"] = str(error)
hits, compiled_now = compiled.compile_counts()
print(json.dumps(dict(values=values, hits=hits, compiled=compiled_now)))
"""
NUMBA_CHANGES = """
from numba.core.caching import Cache

Cache.load = Cache._load_overload
del Cache._load_overload

def load_overload(self, sig, target_context):
    target_context.refresh()
    return self.load(sig, target_context)

Cache.load_overload = load_overload
"""


def program_tree(folder: Path) -> Path:
    """A small copy of the package tree: the real compiled.py with a kernel, its helper and its constant."""
    core = folder / "papertape" / "core"
    core.mkdir(parents=True)
    (folder / "brokers").mkdir()
    for package in (folder / "papertape", core, folder / "brokers"):
        (package / "__init__.py").touch()
    for name in ("compiled.py", "folders.py", "errors.py"):
        shutil.copy(ROOT / "papertape" / "core" / name, core)
    (core / "trial_kernel.py").write_text(KERNEL)
    (core / "trial_constants.py").write_text("OFFSET = 1.0\n")
    (folder / "brokers" / "trial_helper.py").write_text(HELPER)
    return folder


def run(tree: Path, cache: Path, program: str = PROGRAM, *words: str, **environment: str) -> dict[str, object]:
    """Run a program in a process of its own."""
    settings = {**os.environ, "PAPERTAPE_CACHE": str(cache), "PYTHONPATH": str(tree), **environment}
    command = [sys.executable, "-B", "-c", program, *words]
    done = subprocess.run(command, env=settings, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "stderr": done.stderr}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A program in a folder of its own."""
    return program_tree(tmp_path / "program")


def test_a_second_process_compiles_nothing(tree: Path, tmp_path: Path) -> None:
    first = run(tree, tmp_path / "cache")
    second = run(tree, tmp_path / "cache")
    assert (first["will"], first["compiled"], first["value"]) == (True, 2, 21.0)
    assert first["names"] == ["kernel", "scaled"]
    assert (second["will"], second["compiled"], second["hits"], second["names"]) == (False, 0, 1, [])
    assert second["value"] == first["value"]


def test_cached_machine_code_does_its_work_before_and_after_functions_that_are_compiled_in_memory(
    tree: Path, tmp_path: Path
) -> None:
    (tree / "papertape" / "core" / "trial_kernel.py").write_text(RICH_KERNEL)
    first = run(tree, tmp_path / "cache", BESIDE_OTHERS, "kernel,user")
    assert (first["compiled"], first["values"]["error"]) == (1, "below zero")  # type: ignore[index]
    for order in ("kernel", "kernel,user", "user,kernel"):
        later = run(tree, tmp_path / "cache", BESIDE_OTHERS, order)
        names = {*order.split(","), "error"}
        assert later["values"] == {name: first["values"][name] for name in names}  # type: ignore[index]
        assert (later["hits"], later["compiled"]) == (1, 0)


def test_a_numba_that_loads_machine_code_in_another_way_is_left_to_do_so(tree: Path, tmp_path: Path) -> None:
    first = run(tree, tmp_path / "cache")
    second = run(tree, tmp_path / "cache", NUMBA_CHANGES + PROGRAM)
    assert (second["hits"], second["compiled"], second["value"]) == (1, 0, first["value"])


def test_the_same_sources_in_another_folder_share_the_machine_code(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "cache")
    clone = run(program_tree(tmp_path / "clone"), tmp_path / "cache")
    assert (clone["will"], clone["compiled"], clone["value"]) == (False, 0, 21.0)


@pytest.mark.parametrize(
    ("file", "before", "after", "value"),
    [
        ("brokers/trial_helper.py", "2.0 * x", "3.0 * x", 31.0),
        ("papertape/core/trial_constants.py", "1.0", "5.0", 25.0),
        ("papertape/core/trial_kernel.py", "+ OFFSET", "- OFFSET", 19.0),
    ],
)
def test_a_changed_source_never_meets_stale_machine_code(
    tree: Path, tmp_path: Path, file: str, before: str, after: str, value: float
) -> None:
    run(tree, tmp_path / "cache")
    changed = tree / file
    stamp = changed.stat()
    changed.write_text(changed.read_text().replace(before, after))
    os.utime(changed, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same size, same time: only the content tells
    again = run(tree, tmp_path / "cache")
    assert (again["value"], again["compiled"]) == (value, 2)


def test_a_module_that_no_kernel_reads_does_not_cause_compiling(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "cache")
    (tree / "papertape" / "core" / "unrelated.py").write_text("ANSWER = 42\n")
    assert run(tree, tmp_path / "cache")["compiled"] == 0


def test_without_the_compiler_the_functions_are_plain_python(tree: Path, tmp_path: Path) -> None:
    plain = run(tree, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    assert (plain["value"], plain["compiled"], plain["will"]) == (21.0, 0, False)


def test_damaged_machine_code_is_compiled_again(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*.nbc"):
        file.write_bytes(file.read_bytes()[:100])
    assert run(tree, tmp_path / "cache")["compiled"] == 2
    assert run(tree, tmp_path / "cache")["compiled"] == 0


def test_processes_that_start_together_agree(tree: Path, tmp_path: Path) -> None:
    settings = {**os.environ, "PAPERTAPE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tree)}
    command = [sys.executable, "-B", "-c", PROGRAM]
    both = [subprocess.Popen(command, env=settings, cwd=tree, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(process.communicate()[0]) for process in both]
    assert [answer["value"] for answer in answers] == [21.0, 21.0]
    assert run(tree, tmp_path / "cache")["compiled"] == 0


def test_an_installation_that_can_write_nowhere_says_so_once_and_works(tree: Path, tmp_path: Path) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    (tmp_path / "temporary").mkdir()
    answer = run(tree, not_a_folder / "cache", TMPDIR=str(tmp_path / "temporary"))
    assert answer["value"] == 21.0
    assert str(answer["stderr"]).count("caches go to") == 1
    assert str(answer["folder"]).startswith(str(tmp_path / "temporary"))


def test_only_the_folders_used_last_are_kept(tree: Path, tmp_path: Path) -> None:
    kernels = tmp_path / "cache" / "kernels"
    for age in range(20):
        (kernels / f"old{age:02}").mkdir(parents=True)
        os.utime(kernels / f"old{age:02}", (1_000_000 - age, 1_000_000 - age))
    newest = Path(str(run(tree, tmp_path / "cache")["folder"])).name
    assert sorted(folder.name for folder in kernels.iterdir()) == sorted(
        [newest, *(f"old{age:02}" for age in range(subject.FOLDERS_KEPT - 1))]
    )


def test_every_module_of_ours_with_compiled_functions_is_in_the_key() -> None:
    using = [
        path
        for package in subject.PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each).split(".")[-1] == "compiled" for each in node.decorator_list)
    ]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in using}
    assert names
    assert names <= subject.kernel_modules().keys()


def test_a_function_whose_module_hides_it_from_the_key_is_not_kept(tree: Path, tmp_path: Path) -> None:
    kernel = tree / "papertape" / "core" / "trial_kernel.py"
    kernel.write_text(KERNEL.replace("import compiled", "import compiled as hidden").replace("@compiled", "@hidden"))
    assert run(tree, tmp_path / "cache")["value"] == 21.0
    kernel.write_text(kernel.read_text().replace("+ OFFSET", "- OFFSET"))
    assert run(tree, tmp_path / "cache")["value"] == 19.0


def test_a_function_outside_our_packages_is_compiled_in_memory() -> None:
    @subject.compiled
    def halved(x: float) -> float:
        return x / 2.0

    before = subject.compile_counts()
    assert halved(3.0) == 1.5
    assert subject.compile_counts() == before
