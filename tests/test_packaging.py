"""The wheel holds the program and nothing else, and a user's own folders do not get in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"papertape", "strategies", "feeds", "brokers", "backtests", "gateway"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it, its console script in bin/."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    command += ["--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return folder


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A user's folder with packages of our names, which must never be run."""
    for name in (*(PACKAGES - {"papertape"}), "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the user\\'s {name} was run')\n")
    return tmp_path


def run(*command: str | Path, folder: Path, installed: Path) -> str:
    """Run a program in a folder, with the wheel as the only papertape there is, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_our_packages_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert {"papertape/py.typed", "papertape/__init__.pyi", "papertape/core/model.py"} <= names
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) <= names


def test_the_source_archive_holds_everything_that_is_kept_under_version_control(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) <= names


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = message_from_string(archive.read(f"{folder}/METADATA").decode())
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert metadata["License-Expression"] == "GPL-3.0-or-later"
    assert "Private :: Do Not Upload" in metadata.get_all("Classifier", [])
    assert metadata["Requires-Python"] == ">=3.11"
    assert "papertape = papertape.cli.main:main" in entry_points
    assert "GNU GENERAL PUBLIC LICENSE" in licence


def test_a_script_beside_folders_of_our_names_gets_ours(hostile: Path, installed: Path) -> None:
    (hostile / "mine.py").write_text(
        "import papertape\n"
        "papertape._claim_packages()\n"
        "import strategies, feeds, brokers, backtests, gateway\n"
        "print(*(each.__file__ for each in (strategies, feeds, brokers, backtests, gateway)))\n"
    )
    files = run(sys.executable, "mine.py", folder=hostile, installed=installed).split()
    assert len(files) == 5
    assert all(Path(file).is_relative_to(installed) for file in files)


def test_a_package_of_our_name_that_was_imported_before_is_named(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "__init__.py").touch()
    (tmp_path / "mine.py").write_text(
        "import feeds, papertape\n"
        "try:\n    papertape._claim_packages()\n"
        "except ImportError as error:\n    print(error)\n"
    )
    said = run(sys.executable, "mine.py", folder=tmp_path, installed=installed)
    assert (
        said.strip()
        == f"{tmp_path / 'feeds'} hides papertape's own 'feeds': rename that folder, or import papertape first"
    )


def test_python_dash_m_takes_the_users_folder_off_the_path(hostile: Path, installed: Path) -> None:
    program = "import sys, papertape.__main__ as m; m._drop_current_folder(); print(sys.path)"
    paths = run(sys.executable, "-c", program, folder=hostile, installed=installed)
    assert "''" not in paths
    assert str(hostile) not in paths
    assert str(installed) in paths


def test_python_dash_m_keeps_the_folder_that_papertape_lies_in(installed: Path) -> None:
    program = "import sys, papertape.__main__ as m; m._drop_current_folder(); print(sys.path[0] == '')"
    assert run(sys.executable, "-c", program, folder=installed, installed=installed).strip() == "True"


@pytest.mark.parametrize("how", ["console script", "python -m"])
def test_the_program_runs_beside_folders_of_our_names(hostile: Path, installed: Path, how: str) -> None:
    program = [installed / "bin" / "papertape"] if how == "console script" else [sys.executable, "-m", "papertape"]
    arguments = ["sample", "made", "--symbols", "1", "--days", "1", "--seed", "7"]
    run(*program, *arguments, folder=hostile, installed=installed)
    assert list((hostile / "made").iterdir())
