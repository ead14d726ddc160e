"""The zoo's plan parses, and its training goes on where it stopped."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from experiments import zoo_world
from experiments.zoo_plan import SEQUENCES, UNSEEN, WORLD, Budget, read_plan
from experiments.zoo_world import ZooWorldConfig, chosen_networks, main
from reid.config import option_values, parse_config
from reid.files import write_json, write_text
from reid.models import MODELS, input_size
from reid.train_options import TrainConfig
from synthetic_world.export import MotOptions, ReidOptions

Run = Callable[..., subprocess.CompletedProcess[str]]
PLAN = ZooWorldConfig.plan
NETWORKS = {
    "cares18",
    "seres18",
    "sedense18",
    "osnet_x0_25",
    "osnet_x1_0",
    "plr_osnet",
    "vit_tiny",
    "resnet50_ibn_a",
    "reidlite",
}
TINY = {"level": "hard", "seed": 0, "pids": 14, "train-fraction": 0.6, "cameras": 2, "width": 20, "height": 40}

SCENE = {"level": "medium", "seed": 2, "sequences": 1, "frames": 8, "people": 4}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_plan_is_one_of_trainings_and_worlds(name: str, tmp_path: Path) -> None:
    budget = read_plan(PLAN, name, tmp_path)
    assert set(budget.networks) >= NETWORKS
    for network in budget.networks:
        config = parse_config(TrainConfig, budget.run(network).command[1:])
        assert config.run.resume and config.loss.triplet_weight == 0 and config.loss.center_weight == 0
        size = input_size(config.network.backbone) if name == "gpu" else (128, 64)
        size = (256, 128) if config.network.backbone_options == ("last_stride=2",) else size
        assert (config.network.height, config.network.width) == size
        assert config.data.root == (tmp_path / name / "world-hard",)
    assert "reidlite_stride2" in budget.networks and "reidlite_distilled" in budget.networks
    assert config.distillation.teacher == budget.checkpoint("cares18") and config.network.backbone == "reidlite"
    worlds = [
        ReidOptions(**{key.replace("-", "_"): value for key, value in budget.worlds[part].items()})
        for part in (WORLD, UNSEEN)
    ]
    assert worlds[0].level == "hard" and worlds[1].level == "medium" and worlds[0].seed != worlds[1].seed
    assert [world.pids - world.train_pids for world in worlds] == [100, 100]
    MotOptions(**budget.worlds[SEQUENCES])
    seen = worlds[0].train_pids * worlds[0].cameras * worlds[0].images_per_camera * budget.options["epochs"]
    assert seen == (30_720 if name == "cpu" else 288_000) and f"{budget.options['epochs']} epochs" in budget.description


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    with pytest.raises(FileNotFoundError, match=r"plan\.yaml: no such plan"):
        read_plan(path, "cpu", tmp_path)
    path.write_text("a: [")
    with pytest.raises(ValueError, match=r"plan\.yaml: not valid YAML"):
        read_plan(path, "cpu", tmp_path)
    with pytest.raises(ValueError, match="budget: got 'tpu', allowed: cpu, gpu"):
        read_plan(PLAN, "tpu", tmp_path)
    path.write_text("cpu: {world: {}}")
    with pytest.raises(
        ValueError, match="cpu: got world, allowed: description, networks, options, sequences, unseen, world"
    ):
        read_plan(path, "cpu", tmp_path)
    same = "world: {level: hard}, unseen: {level: hard}, sequences: {level: easy}"
    path.write_text(f"cpu: {{description: '', {same}, options: {{}}, networks: {{}}}}")
    with pytest.raises(ValueError, match="level: allowed: one for each world, another for unseen"):
        read_plan(path, "cpu", tmp_path)
    with pytest.raises(ValueError, match=r"only: got 'cares19', allowed: cares18, "):
        chosen_networks(ZooWorldConfig(only=("cares19",)), read_plan(PLAN, "cpu", tmp_path))


def test_a_teacher_is_a_network_of_the_plan_or_a_file(tmp_path: Path) -> None:
    plan = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    plan["cpu"]["networks"] |= {"small": {"backbone": "cares18", "teacher": "osnet_x1_0"}, "b": {"teacher": "a.onnx"}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    budget = read_plan(tmp_path / "plan.yaml", "cpu", Path("out"))
    command = budget.run("small").command
    assert command[command.index("--teacher") + 1] == "out/cpu/osnet_x1_0/model.safetensors"
    assert (
        command[command.index("--backbone") + 1] == "cares18" and command[command.index("--out") + 1] == "out/cpu/small"
    )
    assert "a.onnx" in budget.run("b").command


def tiny_plan(path: Path, **more: object) -> list[object]:
    options = {"height": 32, "width": 16, "epochs": 1, "batch_size": 16, "num_instances": 4, "warmup_epochs": 0}
    options |= {"precision": "no", "threads": 1, "triplet_weight": 0, "center_weight": 0, **more}
    worlds = {"world": TINY, "unseen": TINY | {"level": "medium", "pids": 5, "seed": 1}, "sequences": SCENE}
    networks: dict[str, dict[str, object]] = {"no_such_network": {}, "osnet_x0_25": {}}
    path.write_text(yaml.safe_dump({"cpu": {"description": "tiny", "options": options, "networks": networks} | worlds}))
    return ["--plan", path, "--out", path.parent / "out"]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the trainings by what they leave; returns the networks that were trained."""
    names: list[str] = []

    def train(command: list[str], what: str) -> None:
        config = parse_config(TrainConfig, command[1:])
        names.append(config.network.backbone)
        if config.network.backbone not in MODELS:
            raise ValueError(f"{what}: failed with status 2; see above")
        scores = {"scores": {"Rank-1": 0.5, "mAP": 0.25}, "distance": "Euclidean", "protocol": "inductive"}
        write_json(config.run.out / "result.json", [scores | {"dataset": "world-hard"}])
        write_text(config.run.out / "config.yaml", yaml.safe_dump(option_values(config)))

    monkeypatch.setattr(zoo_world, "run_command", train)
    monkeypatch.setattr(Budget, "write_world", lambda budget, part: None)
    return names


def test_a_finished_network_is_skipped_and_a_failing_one_does_not_stop_the_others(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = list(map(str, tiny_plan(tmp_path / "plan.yaml")))
    with pytest.raises(ValueError, match="cpu: no_such_network: failed with status 2"):
        main(parse_config(ZooWorldConfig, words))
    assert trained == ["no_such_network", "osnet_x0_25"]
    assert "osnet_x0_25: world-hard, Euclidean, inductive: Rank-1 50.0 mAP 25.0" in capsys.readouterr().out
    main(parse_config(ZooWorldConfig, [*words, "--only", "osnet_x0_25"]))
    assert len(trained) == 2 and "1 networks, 1 of them done" in capsys.readouterr().out
    tiny_plan(tmp_path / "plan.yaml", lr=0.1)
    with pytest.raises(ValueError, match=r"its result was made with lr 0\.00035 \(now 0\.1\)"):
        main(parse_config(ZooWorldConfig, [*words, "--only", "osnet_x0_25"]))


@pytest.mark.slow
def test_a_network_is_trained_on_worlds_that_are_written(run_python: Run, repository: Path, tmp_path: Path) -> None:
    command = [repository / "experiments/zoo_world.py", *tiny_plan(tmp_path / "plan.yaml"), "--only", "osnet_x0_25"]
    assert "osnet_x0_25: world-hard, Euclidean, inductive: Rank-1" in run_python(*command).stdout
    assert (tmp_path / "out" / "cpu" / "world-hard" / "query").is_dir()
    assert "1 of them done" in run_python(*command).stdout
