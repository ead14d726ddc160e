"""What the demo promises, measured on a whole run of it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    run_python("experiments/demo.py", "--out", out)
    return out


def scores(folder: Path) -> dict[str, dict[str, float]]:
    return {record["distance"]: record["scores"] for record in json.loads((folder / "result.json").read_text())}


def test_training_beats_the_histogram_by_25_map_and_reranking_helps(demo: Path) -> None:
    trained, histogram = scores(demo / "score-trained"), scores(demo / "score-histogram")
    assert trained["Euclidean"]["mAP"] > histogram["Euclidean"]["mAP"] + 0.25
    assert trained["Jaccard"]["mAP"] > trained["Euclidean"]["mAP"]


def test_appearance_helps_the_tracker(demo: Path) -> None:
    with_it = json.loads((demo / "track-reid" / "result.json").read_text())["strongsort"]["scores"]["COMBINED"]
    without = json.loads((demo / "track-motion" / "result.json").read_text())["strongsort"]["scores"]["COMBINED"]
    assert with_it["HOTA"] > without["HOTA"] and with_it["IDF1"] > without["IDF1"]
