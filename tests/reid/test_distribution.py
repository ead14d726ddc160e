"""Several processes train as one does with the same global batch."""

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reid.data.samplers import PKBatchSampler
from reid.data.sharding import BatchShare

Run = Callable[..., subprocess.CompletedProcess[str]]
WORKER = Path(__file__).with_name("distributed_worker.py")
# accelerate launches several CPU processes by the command for several GPUs, with ACCELERATE_USE_CPU=true (conftest.py).
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", 1, "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--main_process_port", 0, "--num_processes"]


def read(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def close(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["state"].keys() == second["state"].keys()
    for name, value in first["state"].items():
        assert torch.allclose(value.float(), second["state"][name].float(), atol=1e-5), name


def test_two_processes_train_as_one_and_go_on(run_python: Run, tiny_market: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    run_python(WORKER, tiny_market, one, 16, 3)
    run_python(*LAUNCH, 2, WORKER, tiny_market, two, 16, 3)
    first, second = read(one), read(two)
    assert (first["processes"], second["processes"]) == (1, 2)
    assert first["losses"] == pytest.approx(second["losses"], abs=1e-4)
    close(first, second)
    # From the state before the last, in the middle of an epoch.
    sorted(two.with_suffix(".states").iterdir())[-1].unlink()
    run_python(*LAUNCH, 2, WORKER, tiny_market, two, 16, 3, "resume")
    again = read(two)
    assert again["losses"] == second["losses"][-1:]
    assert all(torch.equal(value, again["state"][name]) for name, value in second["state"].items())
    done = run_python(WORKER, tiny_market, two, 16, 3, "resume", check=False)
    assert done.returncode != 0 and "written by 2 processes and these are 1" in done.stderr


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_are_disjoint_and_together_the_epoch(count: int) -> None:
    def sampler() -> PKBatchSampler:
        return PKBatchSampler([index // 4 for index in range(96)], 6, 4, seed=0)

    shares = [BatchShare(sampler(), rank, count) for rank in range(count)]
    whole = sampler()
    for epoch in (1, 2):
        whole.set_epoch(epoch)
        for share in shares:
            share.set_epoch(epoch)
        batches = list(whole)
        parts = [list(share) for share in shares]
        assert [list(itertools.chain(*turn)) for turn in zip(*parts, strict=True)] == batches
        assert all(len(part) == share.batch_size for share in shares for part in share)
    shares[0].start = 1
    assert len(list(shares[0])) == len(batches) - 1
    with pytest.raises(ValueError, match="a multiple of the 5 processes"):
        BatchShare(whole, 0, 5)
