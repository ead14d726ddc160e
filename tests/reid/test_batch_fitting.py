"""Memory that does not hold a batch, in one process and in two."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from reid.batch_fitting import OutOfMemoryTogether, fitting_batch_size
from reid.training import SamplingOptions

# The second of two processes has no memory for more than 8 images a process.
SCRIPT = """
import json, sys
from pathlib import Path
import torch
import reid.batch_fitting
from reid.batch_fitting import fitting_batch_size, rehearse
from reid.data import read_dataset
from reid.data.images import Preprocessing
from reid.losses import CombinedLoss
from reid.models.renorm import convert_to_renorm
from reid.optim import OptimisationOptions
from reid.training import SamplingOptions, TrainingOptions, build_accelerator, build_image_trainer
from tests.reid.test_engine import TinyNet

root, out = sys.argv[1], Path(sys.argv[2])
torch.set_num_threads(1)
accelerator = build_accelerator()
samples = read_dataset("market1501", root).train
original, said = reid.batch_fitting._try, []

def small(trainer, shape):
    if accelerator.process_index == 1 and shape[0] > 8:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    original(trainer, shape)

reid.batch_fitting._try = small

def train(size):
    torch.manual_seed(0)
    model = TinyNet()
    convert_to_renorm(model, warmup=1)
    loss = CombinedLoss({"cross_entropy": 1.0, "triplet": 1.0, "center": 5e-4, "xbm": 1.0}, num_classes=8,
                        feature_size=8, generator=torch.Generator().manual_seed(0))
    options = TrainingOptions(SamplingOptions(size), optimisation=OptimisationOptions(freeze_epochs=1))
    trainer = build_image_trainer(accelerator, model, loss, samples, Preprocessing(16, 16), options, epochs=2)
    if rehearsed:
        before = torch.get_rng_state()
        rehearse(trainer, (size, 3, 16, 16))
        assert torch.equal(before, torch.get_rng_state())
    trainer.train(2, lambda row: None)
    return trainer.finish().state_dict()

rehearsed = True
state, size = fitting_batch_size(train, SamplingOptions(16), accelerator, said.append)
rehearsed = False
plain = train(8)
same = all(torch.equal(value, plain[name]) for name, value in state.items())
(out / f"{accelerator.process_index}.json").write_text(json.dumps([size, same, said]))
accelerator.end_training()
"""


@pytest.mark.slow
def test_processes_agree_on_a_smaller_batch(
    run_python: Callable[..., Any], tiny_market: Path, tmp_path: Path, repository: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(repository)!r})\n" + SCRIPT)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    run_python(*launch, script, tiny_market, tmp_path)
    for process in (0, 1):
        size, same, said = json.loads((tmp_path / f"{process}.json").read_text())
        assert size == 8 and same
        assert "out of memory with batches of 16; starting again with 8" in said[0]


class TwoProcesses:
    """Stands for the accelerator of one of two processes."""

    num_processes = 2

    def free_memory(self) -> None:
        """Does nothing."""


@pytest.mark.parametrize(
    ("error", "accelerator"),
    [
        (OutOfMemoryTogether("no"), TwoProcesses()),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), None),
    ],
    ids=["two", "one"],
)
def test_sizes_are_halved_to_one_identity_and_no_further(error: Exception, accelerator: Any) -> None:
    tried: list[int] = []

    def train(size: int) -> int:
        tried.append(size)
        if size > 12:
            raise error
        return size * 10

    accelerator = accelerator or Accelerator(cpu=True)
    assert fitting_batch_size(train, SamplingOptions(28), accelerator, print) == (120, 12)
    assert tried == [28, 12]
    assert fitting_batch_size(train, SamplingOptions(12, sampler="random"), accelerator, print) == (120, 12)

    def never(size: int) -> int:
        raise error

    with pytest.raises(ValueError, match="not even 4 images fit"):
        fitting_batch_size(never, SamplingOptions(4), accelerator, print)


def test_memory_that_runs_out_later_is_an_error_under_several_processes() -> None:
    def train(size: int) -> int:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        fitting_batch_size(train, SamplingOptions(16), TwoProcesses(), print)  # type: ignore[arg-type]
