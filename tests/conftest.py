"""Fixtures that every test may use."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

# Tests compare runs bit for bit, which a GPU does not promise; those that want one carry the marker gpu.
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with recorded data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"recorded data is missing: {folder} (SHARED_DATA may point elsewhere)")
    return folder


@pytest.fixture(scope="session")
def tiny_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Market-1501 folder of 8 training and 6 test identities, 3 cameras, 64 x 32 pixels, two colours a person."""
    root = tmp_path_factory.mktemp("tiny-market")
    random = np.random.default_rng(0)
    folders = {name: root / name for name in ("bounding_box_train", "query", "bounding_box_test")}
    for folder in folders.values():
        folder.mkdir()
    for pid in range(1, 15):
        colours = random.integers(30, 226, (2, 3))
        for camera in range(1, 4):
            for shot in range(3):
                image = np.repeat(colours, 32, axis=0)[:, None].repeat(32, axis=1) + random.normal(0, 12, (64, 32, 3))
                if pid <= 8:
                    folder = folders["bounding_box_train"]
                else:
                    folder = folders["query"] if shot == 0 else folders["bounding_box_test"]
                name = f"{pid:04d}_c{camera}s1_{shot:06d}_01.jpg"
                cv2.imwrite(str(folder / name), image.clip(0, 255).astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python ARGUMENTS` as a user would; `check=False` allows failure."""

    def run(*arguments: object, cwd: Path = REPOSITORY, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "200", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    return run
