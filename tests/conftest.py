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
# Threads that spin while they wait slow tiny networks down many times as soon as another process wants a core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _same_numbers_in_every_order() -> None:
    """Seeds torch's global generator, from which tests draw their inputs."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


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


@pytest.fixture(scope="session")
def tiny_videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Returns a function that gives a MOT folder: 8 people with colours of their own, 2 views, 24 frames."""
    root = tmp_path_factory.mktemp("tiny-videos") / "mot"

    def path() -> Path:
        if not root.exists():
            _write_tiny_videos(root)
        return root

    return path


def _write_tiny_videos(root: Path) -> None:
    random = np.random.default_rng(0)
    colours = random.integers(30, 226, (8, 2, 3))
    for view in (1, 2):
        folder = root / "train" / f"VIEW-01-c{view}"
        (folder / "img1").mkdir(parents=True)
        (folder / "gt").mkdir()
        size = "imDir=img1\nframeRate=5\nseqLength=24\nimWidth=200\nimHeight=64\nimExt=.jpg\n"
        (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={folder.name}\n{size}")
        rows = []
        for frame in range(1, 25):
            image = random.normal(128 + 10 * view, 10, (64, 200, 3))
            for person in range(8):
                # Number 1 is away for a while, number 2 is partly hidden in half of the frames, 3 is small, 4 narrow.
                if person == 0 and 10 <= frame < 20:
                    continue
                height, width = 36 if person == 2 else 44, 15 if person == 3 else 18
                left, top = 24 * person + frame // 6, 8 + frame % 3
                patch = np.repeat(colours[person], height // 2, axis=0)[:, None]
                image[top : top + height, left : left + width] = patch + random.normal(0, 10, (height, width, 3))
                visibility = 0.7 if person == 1 and frame % 2 else 1.0
                rows.append(f"{frame},{person + 1},{left},{top},{width},{height},1,1,{visibility}\n")
            # A car, a person in a crowd and one who does not count.
            rows += [f"{frame},9,0,0,50,60,1,3,1\n", f"{frame},10,0,0,50,60,1,13,1\n", f"{frame},11,0,0,50,60,0,1,1\n"]
            cv2.imwrite(str(folder / "img1" / f"{frame:06d}.jpg"), image.clip(0, 255).astype(np.uint8))
        (folder / "gt" / "gt.txt").write_text("".join(rows))
