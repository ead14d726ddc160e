"""Trainings that are killed and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reid.checkpoint import load_checkpoint
from reid.config import parse_config
from reid.files import write_text
from reid.image_reid_train import main
from reid.train_options import TrainConfig
from reid.training_state import StateFolder

# All that a state has to hold: augmentation, centers, memories, averages, ramps of renormalisation, gathered gradients.
COMMAND = ["--backbone", "seres18", "--bs", 8, "--epochs", 3, "--height", 32, "--width", 16, "--warmup-epochs", 0.5]
COMMAND += ["--jitter", 0.2, "--xbm-weight", 1, "--xbm-start", 0, "--xbm-size", 32, "--cluster-contrast-weight", 1]
COMMAND += ["--renorm", "--renorm-warmup", 3, "--ema", 0.9, "--accumulate", 2, "--state-steps", 2, "--eval-every", 1]
COMMAND += ["--threads", 1]
TIMES = ("images_per_second",)


def result(out: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], list[dict[str, Any]]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    scores = [record["scores"] for record in json.loads((out / "result.json").read_text())]
    return (
        load_checkpoint(out / "model.safetensors")[0],
        [{name: value for name, value in row.items() if name not in TIMES} for row in rows],
        scores,
    )


def same(first: Path, second: Path) -> bool:
    (weights, rows, scores), (other_weights, other_rows, other_scores) = result(first), result(second)
    equal = all(torch.equal(weights[name], other_weights[name]) for name in weights)
    return equal and weights.keys() == other_weights.keys() and (rows, scores) == (other_rows, other_scores)


def run(root: Path, out: Path, *more: object) -> None:
    main(parse_config(TrainConfig, list(map(str, ["--root", root, "--out", out, *COMMAND, *more]))))


@pytest.fixture(scope="module")
def whole(tiny_market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run(tiny_market, out)
    return out


def killed_in_the_middle(repository: Path, root: Path, out: Path) -> None:
    """Starts the training as a process and kills it (-9) once it has a state in the middle of the second epoch."""
    command = [sys.executable, "reid/image_reid_train.py", "--root", root, "--out", out, *COMMAND]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    process = subprocess.Popen(list(map(str, command)), cwd=repository, env=environment, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and not list(out.glob("states/source/epoch-00001-batch-000000[4-8].pt")):
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL and not (out / "model.safetensors").exists()


def test_a_killed_training_goes_on_bit_for_bit(
    repository: Path, tiny_market: Path, tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    killed_in_the_middle(repository, tiny_market, out)
    states = sorted((out / "states" / "source").glob("epoch-*.pt"))
    # Killed between writing a state and removing the oldest, it leaves three.
    assert len(states) in (2, 3)
    # The last state is cut short, as a full disk or a crash of the machine leaves it.
    states[-1].write_bytes(states[-1].read_bytes()[:5000])
    run(tiny_market, out, "--resume")
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{states[-1].name} is damaged" in shown.replace("\n", "") and states[-2].name in shown
    assert same(whole, out)


def test_a_finished_training_stays_as_it_is(tiny_market: Path, whole: Path, tmp_path: Path) -> None:
    before = result(whole)
    run(tiny_market, whole, "--resume")
    after = result(whole)
    assert before[1:] == after[1:] and all(torch.equal(before[0][name], after[0][name]) for name in before[0])


def test_other_options_are_refused(tiny_market: Path, whole: Path) -> None:
    with pytest.raises(ValueError, match=r"lr 0.00035 \(now 0.1\)"):
        run(tiny_market, whole, "--resume", "--lr", 0.1)


def test_nothing_to_go_on_from(tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny_market, tmp_path, "--epochs", 1, "--resume")
    assert "starting anew" in capsys.readouterr().out


def test_continual_training_goes_on(tiny_market: Path, tmp_path: Path) -> None:
    more = ["--epochs", 1, "--continual", "--cluster-k1", 8, "--cluster-k2", 3, "--continual-epochs", 2]
    run(tiny_market, tmp_path / "whole", *more)
    run(tiny_market, tmp_path / "cut", *more)
    newest = StateFolder(tmp_path / "cut" / "states" / "continual").paths()[-1]
    newest.unlink()
    run(tiny_market, tmp_path / "cut", *more, "--resume")
    assert newest.exists() and same(tmp_path / "whole", tmp_path / "cut")


@pytest.fixture
def little_space() -> Iterator[None]:
    """No file may grow beyond 50 kB, which fails like a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_space")
def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, print)
    folder.save({"weights": torch.zeros(3)}, 1, 0)
    with pytest.raises(OSError, match=r"epoch-00002-batch-0000000\.pt: could not be written \(.*is the disk full\?"):
        folder.save({"weights": torch.zeros(100_000)}, 2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001-batch-0000000.pt"]
    with pytest.raises(OSError, match=r"page\.txt"):
        write_text(tmp_path / "page.txt", "a" * 60_000)
    assert len(list(tmp_path.iterdir())) == 1


def test_errors_of_what_is_saved_are_not_the_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="CUDA error"):
        StateFolder(tmp_path, print).save({}, 1, 0)


def test_states_rotate_and_run_no_code(tmp_path: Path) -> None:
    said: list[str] = []
    folder = StateFolder(tmp_path, said.append)
    assert folder.load() is None
    for epoch in range(4):
        folder.save({"epoch": epoch, "weights": torch.zeros(3)}, epoch, 0)
    assert [path.name for path in folder.paths()] == ["epoch-00002-batch-0000000.pt", "epoch-00003-batch-0000000.pt"]
    torch.save({"epoch": Path}, folder.paths()[-1])  # a pickled class, which would run code
    state = folder.load()
    assert state is not None and state["epoch"] == 2 and "damaged" in said[0]
    assert "no file of tensors and plain values" in said[0] and "weights_only" not in said[0]
    for path in folder.paths():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no state is readable"):
        folder.load()
