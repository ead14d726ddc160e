"""Fixtures of the tests of evaluation."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network."""
    # Imported here, so that tests which need no network start without torch.
    import torch

    from reid.checkpoint import Card, save_checkpoint
    from reid.data.images import Preprocessing
    from reid.models import build_model

    path = tmp_path_factory.mktemp("inference") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model("seres18").state_dict()
    save_checkpoint(path, state, Card("seres18", {}, 0, 512, Preprocessing(32, 16)))
    return path


@pytest.fixture(scope="session")
def noisy_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where colours tell little: 10 identities under strong noise."""
    root = tmp_path_factory.mktemp("noisy-market")
    random = np.random.default_rng(0)
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (root / name).mkdir()
        for pid in range(1, 11):
            colour = np.random.default_rng(pid).uniform(100, 156, 3)
            for camera in (1, 2, 3):
                blocks = colour + random.normal(0, 60, (8, 4, 3))
                image = cv2.resize(blocks.clip(0, 255).astype(np.uint8), (32, 64))
                cv2.imwrite(str(root / name / f"{pid:04d}_c{camera}s1_000000_00.png"), image)
    return root
