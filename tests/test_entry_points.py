"""Every entry point, run as a user would run it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.checkpoint import load_checkpoint

ENTRY_POINTS = (
    "reid/image_reid_train.py",
    "reid/image_reid_inference.py",
    "reid/video_reid_train.py",
    "reid/calibrate.py",
    "reid/compare.py",
    "reid/robustness.py",
    "reid/visualize.py",
    "reid/export.py",
    "reid/serve.py",
    "modification_gan/synthetic_generate.py",
    "tracking/mot16_benchmark.py",
    "tracking/track_video.py",
    "tracking/tune.py",
    "experiments/world_levels.py",
    "experiments/post_processing.py",
)
# What is asked for before anything else is looked at.
REQUIRED = {
    "reid/calibrate.py": ["a.onnx", "--root", "."],
    "reid/compare.py": ["a.onnx", "b.onnx", "--root", "."],
    "reid/robustness.py": ["--root", "."],
    "tracking/track_video.py": ["--source", "."],
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("path", ENTRY_POINTS)
def test_help_from_any_folder(path: str, repository: Path, run_python: Run, tmp_path: Path) -> None:
    assert "usage" in run_python(repository / path, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize("path", ENTRY_POINTS)
def test_help_as_a_module(path: str, run_python: Run) -> None:
    module = path.removesuffix(".py").replace("/", ".")
    assert "usage" in run_python("-m", module, "--help").stdout


@pytest.mark.parametrize("path", ENTRY_POINTS)
def test_unknown_options_are_errors(path: str, repository: Path, run_python: Run) -> None:
    done = run_python(repository / path, *REQUIRED.get(path, []), "--no-such-option", "3", check=False)
    assert done.returncode != 0 and "no-such-option" in done.stdout + done.stderr


def test_dataset_command_helps_and_refuses(run_python: Run, tmp_path: Path) -> None:
    assert "check" in run_python("-m", "reid.data", "--help").stdout
    assert "--strict" in run_python("-m", "reid.data", "check", "--help").stdout
    done = run_python("-m", "reid.data", "check", tmp_path, "--no-such-option", "3", check=False)
    assert done.returncode != 0 and "no-such-option" in done.stderr
    done = run_python("-m", "reid.data", "check", tmp_path, "--dataset", "market1501", check=False)
    assert done.returncode == 2 and str(tmp_path) in done.stderr and "Traceback" not in done.stderr


def test_dataset_command_counts(run_python: Run, tiny_market: Path) -> None:
    done = run_python("-m", "reid.data", "check", tiny_market)
    assert f"{tiny_market} (market1501)" in done.stdout.replace("\n", "") and "no leak" in done.stdout


def test_errors_are_one_line_without_a_traceback(repository: Path, run_python: Run, tmp_path: Path) -> None:
    for path, options in (
        ("reid/image_reid_train.py", ["--root", tmp_path]),
        ("reid/image_reid_inference.py", ["--root", tmp_path, "--ckpt", tmp_path / "absent.onnx"]),
        ("reid/video_reid_train.py", ["--dataset", "mars", "--root", tmp_path, "--out", tmp_path / "out"]),
        ("reid/compare.py", [tmp_path / "a.onnx", tmp_path / "b.onnx", "--root", tmp_path]),
        ("reid/calibrate.py", [tmp_path / "absent.onnx", "--root", tmp_path]),
        ("reid/visualize.py", ["--ckpt", tmp_path / "absent.onnx", "--images", tmp_path, "--out", tmp_path / "out"]),
        ("reid/export.py", ["--ckpt", tmp_path / "absent.safetensors", "--out", tmp_path / "m.onnx"]),
        ("tracking/mot16_benchmark.py", ["--gt", tmp_path, "--out", tmp_path / "out"]),
        ("tracking/track_video.py", ["--source", tmp_path, "--save", tmp_path / "out.mp4"]),
    ):
        done = run_python(repository / path, *options, check=False)
        assert done.returncode != 0, path
        assert "Traceback" not in done.stderr and str(tmp_path) in done.stderr, (path, done.stderr)


def test_compiled_training_writes_a_plain_checkpoint(run_python: Run, tiny_market: Path, tmp_path: Path) -> None:
    options = ["--root", tiny_market, "--out", tmp_path, "--bs", 16, "--epochs", 0, "--height", 32, "--width", 16]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--dynamo_backend", "eager"]
    run_python(*launch, "reid/image_reid_train.py", *options)
    state, card = load_checkpoint(tmp_path / "model.safetensors")
    assert "conv1.weight" in state and card.config["num_processes"] == 1


def test_two_processes_train_together(run_python: Run, tiny_market: Path, tmp_path: Path) -> None:
    options = ["--root", tiny_market, "--out", tmp_path, "--bs", 8, "--epochs", 1, "--height", 32, "--width", 16]
    options += ["--cross-entropy-weight", 0, "--threads", 1]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    run_python(*launch, "reid/image_reid_train.py", *options)
    assert load_checkpoint(tmp_path / "model.safetensors")[1].config["num_processes"] == 2
    done = run_python(*launch, "reid/image_reid_train.py", *options, "--bs", 72, "--instance", 9, check=False)
    assert done.returncode != 0 and "x 2 processes = 16 identities x 9 images" in done.stderr


def test_accelerate_launches_training_from_any_folder(
    repository: Path, run_python: Run, tiny_market: Path, tmp_path: Path
) -> None:
    options = ["--root", tiny_market, "--out", "here", "--backbone", "cares18", "--bs", 16, "--instance", 4]
    options += ["--epochs", 1, "--height", 32, "--width", 40, "--center_lamda", 0.0005]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", 1, "--mixed_precision", "bf16"]
    done = run_python(*launch, repository / "reid/image_reid_train.py", *options, cwd=tmp_path)
    assert (tmp_path / "here" / "model.safetensors").is_file()
    assert "mAP" in done.stdout and "epoch 1/1" in done.stdout
