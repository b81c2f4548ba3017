"""The folder of runs: a damaged run breaks nothing, a star does not touch the run, and a run goes whole or stays whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from pathlib import Path

import pytest

from papertape.core.errors import DataError
from papertape.live.control import Control, RunFolderLock, ask_to_halt, seen_runs
from papertape.live.status import LiveStatus
from papertape.shelf import deletable, delete_run, kept_runs, set_star
from papertape.store import FILE_NAME, save_run
from tests.report.made_records import a_record

DAMAGED = "20200101T000000Z-x-backtest-000000"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_run(a_record(), tmp_path / "runs")


def digest(run: Path) -> str:
    return hashlib.sha256((run / FILE_NAME).read_bytes()).hexdigest()


def test_a_run_says_when_it_was_written_and_what_it_traded(run: Path) -> None:
    (kept,) = kept_runs(run.parent)
    assert kept.written is not None
    assert abs(dt.datetime.now(dt.UTC) - kept.written) < dt.timedelta(hours=1)
    assert kept.manifest["strategy"] == "Jumps"
    assert kept.metrics["net_profit"] == 97.0
    assert kept.damage == ""


def test_symbols_are_those_traded_and_those_asked_for(tmp_path: Path) -> None:
    record = a_record()
    record.prices = {"AAA": record.equity}
    record.settings["symbols"] = ["QQQ"]
    save_run(record, tmp_path)
    assert kept_runs(tmp_path)[0].symbols == {"AAA", "QQQ"}


def test_damaged_runs_are_listed_with_what_is_wrong(run: Path) -> None:
    folder = run.parent
    (folder / DAMAGED).mkdir()
    cut = folder / "20200102T000000Z-x-backtest-000000"
    cut.mkdir()
    (cut / FILE_NAME).write_bytes((run / FILE_NAME).read_bytes()[:5_000])
    odd = folder / "20200103T000000Z-x-backtest-000000"
    (odd / FILE_NAME).mkdir(parents=True)
    damages = [kept.damage for kept in kept_runs(folder)]
    assert damages[0] == f"it holds no {FILE_NAME}"
    assert "damaged" in damages[1]
    assert damages[2] != ""
    assert damages[3] == ""


def test_a_name_with_an_impossible_date_is_no_time(tmp_path: Path) -> None:
    (tmp_path / "20209999T000000Z-x-backtest-000000").mkdir()
    assert [kept.written for kept in kept_runs(tmp_path)] == [None]


def test_what_is_hidden_or_no_run_is_not_listed(run: Path) -> None:
    (run.parent / "notes").mkdir()
    (run.parent / "notes.txt").write_text("x")
    shutil.copytree(run, run.parent / f".{run.name}.partial")
    assert [kept.path for kept in kept_runs(run.parent)] == [run]


def test_a_star_is_kept_with_the_run_and_leaves_its_file_alone(run: Path) -> None:
    before = digest(run)
    set_star(run, starred=True)
    assert kept_runs(run.parent)[0].is_starred
    set_star(run / FILE_NAME, starred=False)
    set_star(run, starred=False)
    assert not kept_runs(run.parent)[0].is_starred
    assert digest(run) == before


def test_only_a_run_can_be_starred(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run"):
        set_star(tmp_path, starred=True)
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_run_leaves_nothing(run: Path) -> None:
    (run / "report.html").write_text("x")
    delete_run(run)
    assert list(run.parent.iterdir()) == []


def test_damaged_runs_can_be_deleted_too(tmp_path: Path) -> None:
    damaged = tmp_path / DAMAGED
    damaged.mkdir()
    (damaged / FILE_NAME).write_text("no database")
    delete_run(damaged)
    assert list(tmp_path.iterdir()) == []


def refusal(path: Path) -> str:
    """Why a folder is not deleted; everything in it is still there."""
    before = sorted(path.rglob("*")) if path.is_dir() else []
    with pytest.raises(DataError) as caught:
        delete_run(path)
    assert (sorted(path.rglob("*")) if path.is_dir() else []) == before
    return str(caught.value)


def test_what_is_no_run_is_not_deleted(run: Path, tmp_path: Path) -> None:
    assert "not a run" in refusal(run.parent)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / FILE_NAME).write_text("a database of another program")
    assert "not a run of papertape" in refusal(tmp_path / "mine")
    assert "not the folder of a run" in refusal(tmp_path / "absent")


def test_a_run_under_another_name_can_be_deleted(run: Path) -> None:
    delete_run(run.rename(run.parent / "kept"))
    assert list(run.parent.iterdir()) == []


def test_a_starred_run_is_not_deleted(run: Path) -> None:
    set_star(run, starred=True)
    assert f"it is starred; papertape runs unstar {run.name}" in refusal(run)


def test_a_folder_with_anything_of_the_users_is_not_deleted(run: Path) -> None:
    (run / "thoughts.txt").write_text("x")
    assert "it holds thoughts.txt" in refusal(run)
    (run / "thoughts.txt").unlink()
    (run / "folder.csv").mkdir()
    assert "it holds folder.csv" in refusal(run)


def test_a_run_that_is_being_executed_is_not_deleted(run: Path) -> None:
    lock = RunFolderLock(run)
    Control(lock).tell(LiveStatus(run.name, "S", "paper", "DU1", "h:1", 1), is_last=True)
    ask_to_halt(seen_runs(run.parent)[0], by="me", why="")
    with pytest.raises(DataError, match=f"is being executed; papertape halt {run.name} stops it"):
        delete_run(run)
    lock.release()
    delete_run(run)
    assert not run.exists()


def test_neither_a_link_nor_the_current_folder_is_deleted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = run.parent / "link"
    link.symlink_to(run)
    assert "it is a link" in refusal(link)
    monkeypatch.chdir(run)
    assert "not the folder of a run" in refusal(run)


def test_a_run_whose_files_cannot_be_removed_is_off_the_list_and_never_half(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(DataError, match="taken off the list, but its files could not be removed"):
        delete_run(run)
    assert kept_runs(run.parent) == []
    (hidden,) = run.parent.iterdir()
    assert (hidden / FILE_NAME).is_file()


def test_a_run_that_cannot_be_renamed_stays_whole(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(run)

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataError, match="not deleted \\(Permission denied\\)"):
        delete_run(run)
    assert digest(run) == before


def test_deletable_names_the_folder_of_a_run_given_by_its_file(run: Path) -> None:
    assert deletable(run / FILE_NAME) == run


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of runs"):
        kept_runs(tmp_path / "absent")
