"""Worlds that several processes ask for: one writes, the others wait."""

import time
from pathlib import Path

import pytest

from reid.data import world_folder
from reid.data.world_folder import ensure_world


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    assert not ensure_world(tmp_path, "reid", {"pids": 1})
    assert not list(tmp_path.iterdir())


def test_the_first_process_writes_and_names_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"new: the world could not be written: .*people: got 0"):
        ensure_world(tmp_path / "new", "mot", {"people": 0})
    assert "python -m synthetic_world mot" in capfd.readouterr().out and not (tmp_path / "new").exists()


def test_other_processes_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            (tmp_path / "new").mkdir()

    monkeypatch.setattr(time, "sleep", sleep)
    assert ensure_world(tmp_path / "new", "reid", {}) and len(waits) == 2
    monkeypatch.setattr(world_folder, "_WAIT_SECONDS", -1)
    with pytest.raises(ValueError, match="the first process has not written the world"):
        ensure_world(tmp_path / "other", "reid", {})
