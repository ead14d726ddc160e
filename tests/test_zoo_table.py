"""The zoo's table and what is published: measured once, half precision, entries that agree with cards."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml

from experiments import network_speed, zoo_measure, zoo_publish
from experiments.zoo_measure import PARTS, measure
from experiments.zoo_plan import Budget, read_plan
from experiments.zoo_publish import ZooPublishConfig, halved
from experiments.zoo_publish import main as publish
from experiments.zoo_table import BEGIN, ZooTableConfig, table
from experiments.zoo_table import main as write_table
from experiments.zoo_world import ZooWorldConfig
from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.data.images import Preprocessing
from reid.files import write_json
from reid.models import build_model
from reid.models.zoo import verify
from reid.zoo_entries import read_zoo

Run = Callable[..., subprocess.CompletedProcess[str]]


def write_network(path: Path) -> Path:
    torch.manual_seed(0)
    card = Card("osnet_x0_25", {}, 5, 512, Preprocessing(32, 16), config={"epochs": 4})
    save_checkpoint(path, build_model("osnet_x0_25", 5).state_dict(), card)
    return path


def write_onnx(path: Path) -> None:
    """Writes the mean of each channel, with 1000 numbers that it does not need."""
    shape, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["images"], ["p"]),
        onnx.helper.make_node("Flatten", ["p"], ["e"]),
    ]
    inputs, outputs = [shape("images", float32, ["n", 3, 32, 16])], [shape("e", float32, ["n", 3])]
    spare = onnx.numpy_helper.from_array(np.zeros((10, 1000), np.float32), "spare")
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, [spare])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces what is run, by what it would leave; returns what was run."""
    said: list[str] = []

    def run(command: list[str], what: str) -> None:
        said.append(what)
        if "reid.calibrate" in command:
            return
        out, scores = Path(command[command.index("--out") + 1]), {"Rank-1": 0.5, "mAP": 0.25, "mINP": 0.1}
        if "tracking" in command[0]:
            found: Any = {"COMBINED": {"HOTA": 0.6104, "IDF1": 0.72}}
            write_json(out / "result.json", {"strongsort": {"scores": found}})
            return
        world = Path(command[command.index("--root") + 1]).name
        same = {"dataset": world, "split": "query", "command": "python", "checkpoint_sha256": "abc"}
        records = [
            same | {"distance": "Euclidean", "protocol": "inductive", "scores": scores},
            same | {"distance": "Jaccard", "protocol": "transductive", "scores": scores | {"mAP": 0.375}},
        ]
        write_json(out / "result.json", records)

    monkeypatch.setattr(zoo_measure, "run_command", run)
    monkeypatch.setattr(zoo_publish, "run_command", run)
    monkeypatch.setattr(Budget, "write_world", lambda budget, part: budget.world_folder(part))
    monkeypatch.setattr(network_speed, "_LEAST_SECONDS", 0.0)
    # The export has tests of its own.
    monkeypatch.setattr(network_speed, "export_onnx", lambda checkpoint, path: write_onnx(path))
    return said


def test_a_table_has_every_column_and_measures_once(
    commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path, readme = write_network(tmp_path / "mine.safetensors"), tmp_path / "README.md"
    write_onnx(tmp_path / "theirs.onnx")
    real = tmp_path / "real"
    real.mkdir()
    people = {"auc": 0.98765, "same": 10, "different": 20, "people": 3}
    monkeypatch.setattr(zoo_measure, "real_separations", lambda root, embed: {"video": dict(people)})
    config = ZooTableConfig(
        (str(path), str(tmp_path / "theirs.onnx")), real=real, zoo=tmp_path / "zoo", out=tmp_path / "out", readme=readme
    )
    write_table(config)
    text = readme.read_text()
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines() if line.startswith("| ")}
    mine, theirs = rows["mine"], rows["theirs"]
    assert mine[1:4] == ["32 x 16", "0.20", "1.35"] and mine[6:10] == ["50.0, 25.0", "50.0, 37.5", "25.0", "61.0, 72.0"]
    assert mine[10].strip() == "" and mine[11].strip(" |") == "0.9877"
    assert all(float(number) > 0 for cell in (*mine[4:6], theirs[5]) for number in cell.split(","))
    assert theirs[1:5] == ["", "0.01", "", ""] and len(rows["checkpoint"]) == len(mine) == 12
    assert (
        "transductive. A synthetic world, no public benchmark. `python reid/image_reid_inference.py --root WORLD"
        in text
    )
    assert str(tmp_path) not in text and BEGIN in text and "video: 3 people, 10 and 20 pairs" in text
    assert "--bootstrap 0 --out OUT` (" in text and len(commands) == 6
    capsys.readouterr()
    write_table(config)
    assert len(commands) == 6 and readme.read_text() == text
    # Without real people their columns stay empty; parts that are not asked for are not measured.
    write_table(ZooTableConfig((str(path),), parts=("size", "real"), zoo=tmp_path / "zoo", out=tmp_path / "other"))
    assert "note: no --real DIR" in capsys.readouterr().out and len(commands) == 6


def test_faults_are_told(commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="ckpt: got none"):
        ZooTableConfig(())
    with pytest.raises(ValueError, match=r"real: got absent, which is no folder"):
        ZooTableConfig(("a",), real=Path("absent"))
    with pytest.raises(ValueError, match=r"ckpt: got absent\.onnx, which is no file"):
        write_table(ZooTableConfig(("absent.onnx",)))
    budget = read_plan(ZooWorldConfig.plan, "cpu", tmp_path)
    with pytest.raises(ValueError, match="part: got 'colour', allowed: size, speed"):
        measure(write_network(tmp_path / "a.safetensors"), "colour", budget, tmp_path, None)
    assert "| a |" in table({"a": {part: {} for part in PARTS}}, budget)


def test_only_weights_are_halved_and_only_what_fits() -> None:
    state = {"a.weight": torch.rand(3, 4), "bn.running_var": torch.full((3,), 1e6), "n": torch.tensor(3)}
    half = halved(state | {"head.classifier.weight": torch.rand(5, 3)})
    assert half.keys() == state.keys() and half["a.weight"].dtype == torch.float16
    assert torch.equal(half["bn.running_var"], state["bn.running_var"]) and half["n"].dtype == torch.int64
    with pytest.raises(ValueError, match=r"a\.weight: got numbers beyond half precision"):
        halved({"a.weight": torch.full((2, 2), 1e6)})


def test_published_files_agree_with_their_entries(
    commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = yaml.safe_load(ZooWorldConfig.plan.read_text(encoding="utf-8"))
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    zoo = tmp_path / "checkpoints" / "zoo.yaml"
    config = ZooPublishConfig(("osnet_x0_25",), out=tmp_path / "runs", plan=tmp_path / "plan.yaml", zoo=zoo)
    with pytest.raises(FileNotFoundError, match="not trained to the end"):
        publish(config)
    write_network(tmp_path / "runs" / "cpu" / "osnet_x0_25" / "model.safetensors")
    write_json(tmp_path / "runs" / "cpu" / "osnet_x0_25" / "result.json", [])
    publish(config)
    entry = read_zoo(zoo)["osnet_x0_25_world"]
    assert verify(entry, zoo.parent)
    state, card = load_checkpoint(zoo.parent / entry.file)
    assert state["conv1.conv.weight"].dtype == torch.float16 and not any("classifier" in name for name in state)
    assert card.config["epochs"] == 4 and card.num_classes == 0
    assert all(record["checkpoint_sha256"] is None for record in card.scores)
    assert [(row["dataset"], row["protocol"], row["mAP"]) for row in entry.scores] == [
        ("world-hard", "inductive", 0.25),
        ("world-hard", "transductive", 0.375),
        ("world-medium", "inductive", 0.25),
        ("world-medium", "transductive", 0.375),
    ]
    assert "small CPU budget" in entry.training and entry.training.endswith("a synthetic world, not Market-1501")
    assert " people, 8 cameras" in entry.training_data and json.loads(
        (zoo.parent / "osnet_x0_25_world.json").read_text()
    )
    with pytest.raises(ValueError, match="only: got 'cares19', allowed: cares18"):
        publish(ZooPublishConfig(("cares19",), out=tmp_path / "runs", zoo=zoo))


@pytest.mark.slow
def test_from_the_training_to_the_table(run_python: Run, repository: Path, tmp_path: Path) -> None:
    people = {"level": "hard", "seed": 0, "pids": 14, "train-fraction": 0.6, "cameras": 2, "width": 24, "height": 48}
    options = {"height": 32, "width": 16, "epochs": 1, "batch_size": 16, "num_instances": 4, "warmup_epochs": 0}
    plan = {
        "description": "tiny",
        "world": people,
        "unseen": people | {"level": "medium", "seed": 1},
        "sequences": {
            "level": "medium",
            "seed": 2,
            "sequences": 1,
            "frames": 10,
            "people": 4,
            "width": 240,
            "height": 136,
        },
        "options": options | {"precision": "no", "threads": 1, "triplet_weight": 0, "center_weight": 0},
        "networks": {"osnet_x0_25": {}},
    }
    path, out, zoo = tmp_path / "plan.yaml", tmp_path / "runs", tmp_path / "checkpoints" / "zoo.yaml"
    path.write_text(yaml.safe_dump({"cpu": plan}))
    run_python(repository / "experiments/zoo_world.py", "--plan", path, "--out", out)
    told = ["--plan", path, "--out", out, "--zoo", zoo, "--only", "osnet_x0_25"]
    assert "osnet_x0_25_world: " in run_python(repository / "experiments/zoo_publish.py", *told).stdout
    assert "good" in run_python("-m", "reid.models.zoo", "--zoo", zoo, "verify").stdout
    told = [
        "--ckpt",
        zoo.parent / "osnet_x0_25_world.safetensors",
        "--plan",
        path,
        "--zoo",
        out,
        "--out",
        tmp_path / "t",
    ]
    done = run_python("-m", "experiments.zoo_table", *told, "--readme", tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text()
    (row,) = [line.split(" | ") for line in text.splitlines() if line.startswith("| osnet")]
    assert all(cell.strip(" |") for cell in row[:10]) and "no --real DIR" in done.stdout
    assert "osnet_x0_25_world: tiny, 32 x 16; a synthetic world, not Market-1501" in text and str(tmp_path) not in text
