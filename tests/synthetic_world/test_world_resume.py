"""Runs that are interrupted, continued, and as long as you like."""

import fcntl
import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthetic_world import export
from synthetic_world.__main__ import main
from synthetic_world.export import MotOptions, ReidOptions, write_mot, write_reid
from synthetic_world.folders import Journal, JsonList, fingerprint, new_folder
from synthetic_world.progress import _time

REID = ReidOptions(pids=3, cameras=2, width=16, height=32, seed=3)
MOT = MotOptions(sequences=2, frames=3, people=3, cameras=2, seed=5, width=96, height=64)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def failing_after(count: int, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    calls = []

    def fails(task: Any) -> Any:
        calls.append(task)
        if len(calls) > count:
            raise KeyboardInterrupt
        return function(task)

    return fails


@pytest.mark.parametrize(
    ("write", "options", "work", "stops"),
    [(write_reid, REID, "write_crop", (5, 2)), (write_mot, MOT, "write_frame", (2, 2))],
)
def test_an_interrupted_run_continues_to_the_same_bytes(
    write: Any, options: Any, work: str, stops: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "fingerprint", lambda settings: hashlib.sha256(repr(settings).encode()).hexdigest())
    write(options, tmp_path / "whole")
    plain, done = getattr(export, work), 0
    for stop in stops:
        monkeypatch.setattr(export, work, failing_after(stop, plain))
        with pytest.raises(KeyboardInterrupt):
            write(options, tmp_path / "parts")
        assert not (tmp_path / "parts").exists()
        (partial,) = tmp_path.glob(".parts-*")
        done += stop
        # As if it had been killed in the middle of a line.
        with (partial / export.JOURNAL).open("a") as journal:
            journal.write('{"cut": [1, 2')
    rest: list[Any] = []
    monkeypatch.setattr(export, work, lambda task: rest.append(task) or plain(task))
    write(options, tmp_path / "parts")
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")
    assert (
        len(rest)
        == len(list((tmp_path / "whole").rglob("*.jpg"))) // getattr(options, "cameras", 1) ** (work == "write_frame")
        - done
    )
    assert not list(tmp_path.glob(".parts-*"))


def test_other_options_never_continue_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_crop", failing_after(4, export.write_crop))
    for seed in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            write_reid(ReidOptions(pids=3, cameras=2, width=16, height=32, seed=seed), tmp_path / "world")
    assert len(list(tmp_path.glob(".world-*"))) == 2
    assert fingerprint({"seed": 1}) != fingerprint({"seed": 2}) and fingerprint({"seed": 1}) == fingerprint({"seed": 1})


def test_unfinished_folders_are_named_and_cleaned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, busy = tmp_path / f".world-{'a' * 16}", tmp_path / f".world-{'b' * 16}"
    others = [tmp_path / f".world-{'c' * 15}", tmp_path / f".world-2-{'d' * 16}", tmp_path / f".worlds-{'e' * 16}"]
    for path in (old, busy, *others):
        path.mkdir()
        (path / "file").touch()
    with new_folder(tmp_path / "world", "f" * 16, False):
        pass
    assert f"{old}, {busy}; --clean deletes them" in capsys.readouterr().err and old.exists()
    handle = os.open(busy, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    options = ["reid", "--pids", "2", "--cameras", "2", "--width", "16", "--height", "32", "--overwrite"]
    (tmp_path / "world" / "annotations.json").touch()
    assert main([*options, "--clean", "--out", str(tmp_path / "world")]) == 0
    told = capsys.readouterr().err
    assert f"{old} deleted" in told and f"{busy} stays" in told
    assert not old.exists() and busy.exists() and all(path.exists() for path in others)
    os.close(handle)


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (300.0, "5 min"), (7500.0, "2 h 05 min")])
def test_the_time_left_is_told(seconds: float, text: str) -> None:
    assert _time(seconds) == text


def test_two_runs_cannot_write_the_same_folder(tmp_path: Path) -> None:
    partial = tmp_path / ".world-mark"
    partial.mkdir()
    handle = os.open(partial, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(FileExistsError, match="another run"), new_folder(tmp_path / "world", "mark", False):
        pass
    os.close(handle)


def test_records_are_streamed_not_held(tmp_path: Path) -> None:
    record = {"people": [{"mask": list(range(100))} for _ in range(20)]}

    def peak(count: int) -> int:
        path = tmp_path / f"{count}.jsonl"
        tracemalloc.start()
        journal = Journal(path)
        journal.extend(record for _ in range(count))
        document = JsonList(tmp_path / "document.json", {"world": 1}, "frames")
        for entry in Journal(path):
            document.add(entry)
        document.close()
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(100) < 1.2 * peak(10)
    assert len(json.loads((tmp_path / "document.json").read_text())["frames"]) == 10
