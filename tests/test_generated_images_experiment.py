"""The study of generated images: its plan, what it skips, its tables."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import experiments.generated_images as study
from experiments.generated_images import GeneratedImagesConfig, main, planned, write_world
from experiments.generated_plan import NONE, read_plan
from experiments.generated_table import BEGIN, END, replace_section
from experiments.real_images import write_real_images
from experiments.results import read_records
from modification_gan.options import GenerateConfig
from modification_gan.quality import QualityConfig
from reid.config import option_values, parse_config
from reid.data.generated import read_manifest
from reid.train_options import TrainConfig

GAIN = {"lsro": 0.05, "pseudo": 0.0, "group": -0.05}


def record(folder: Path, seed: int) -> dict[str, Any]:
    gain = 0.0 if folder.name == NONE else GAIN[folder.name.rsplit("-", 1)[1]]
    value = 0.4 + 0.1 * seed + gain * (1 + 0.2 * seed)
    scores = {"Rank-1": value, "mAP": value, "mINP": value}
    origin = {"date": "2026-01-01", "commit": "abc", "hardware": "a machine", "command": "python train.py"}
    return {"scores": scores, "protocol": "inductive", "dataset": "world", "seed": seed} | origin


class Machine:
    """Stands for what runs commands: it writes what they would leave, and remembers them."""

    def __init__(self, broken: str = "") -> None:
        self.names: list[str] = []
        self.broken = broken

    def __call__(self, command: Sequence[str], what: str) -> None:
        self.names.append(what)
        told = dict(itertools.pairwise(command))
        folder, seed = Path(told["--out"]), int(told["--seed"])
        folder.mkdir(parents=True)
        if self.broken and what.endswith(self.broken):
            raise ValueError(f"{what}: failed with status 2; see above")
        if "synthetic_world" in command:
            (folder / "bounding_box_train").mkdir()
            for camera, shot in ((1, 0), (1, 1), (2, 0)):
                (folder / "bounding_box_train" / f"0001_c{camera}s1_{shot:06d}_00.jpg").touch()
            (folder / "annotations.json").touch()
        elif "modification_gan.quality" in command:
            one = {"frechet": 0.1, "kid": 0.002, "precision": 0.5, "recall": 0.4, "coverage": 0.3, "diversity": 0.6}
            scores = {"generated": one, "test": one | {"frechet": 0.7}, "modes": {"identities": {"covered": 0.9}}}
            scores |= {"conditions": {}, "leak": {"closer_than_test": {"hundredth": 0.02}}}
            (folder / "quality.json").write_text(json.dumps({"scores": scores, "seed": seed}))
        elif "modification_gan/synthetic_generate.py" in command:
            (folder / "manifest.csv").touch()
        else:
            values = option_values(parse_config(TrainConfig, list(command[1:])))
            (folder / "config.yaml").write_text(yaml.safe_dump(values))
            (folder / "result.json").write_text(json.dumps([record(folder, seed)]))


@pytest.fixture
def config(tmp_path: Path) -> GeneratedImagesConfig:
    return GeneratedImagesConfig(tmp_path / "runs" / "study", models=("dcgan", "diffusion"), seeds=(0, 1))


def test_every_command_of_the_plan_is_understood(tmp_path: Path) -> None:
    plan = planned(GeneratedImagesConfig(tmp_path), tmp_path)
    assert list(plan.models) == ["dcgan", "dcgan-identities", "vae-gan", "vae-wgangp", "diffusion"]
    assert parse_config(TrainConfig, plan.training(0, NONE, "").command[1:]).synthetic.synthetic is None
    for model in plan.models:
        made = parse_config(GenerateConfig, plan.generation(1, model).command[1:])
        by_identity = model == "dcgan-identities"  # a name of the plan's own, whose options take `groups` back
        assert made.network.model == ("dcgan" if by_identity else model) and made.run.seed == 1
        assert made.condition.kind() == ("identities" if by_identity else "embeddings")
        judged = parse_config(QualityConfig, plan.quality(1, model).command[2:])
        assert judged.generated == made.run.out and judged.root == made.data.root
    for arm, told in plan.arms.items():
        options = parse_config(TrainConfig, plan.training(2, "dcgan", arm).command[1:])
        assert options.synthetic.labels() == told["synthetic_labels"] and options.run.seed == 2
        assert options.synthetic.synthetic == plan.generated(2, "dcgan")


def test_options_of_the_command_line_win(tmp_path: Path) -> None:
    told = {"world_options": ("pids=30",), "reid_options": ("epochs=2",), "generate_options": ("steps=4", "groups=3")}
    plan = planned(GeneratedImagesConfig(tmp_path, precision="no", **told), tmp_path)  # type: ignore[arg-type]
    assert (plan.world["pids"], plan.reid["epochs"], plan.generate["groups"], plan.precision) == (30, 2, 3, "no")
    assert all(model["steps"] == 4 for model in plan.models.values()) and "steps" not in plan.generate
    assert plan.models["dcgan-identities"]["groups"] is None
    for wrong, message in (({"models": ("gan",)}, "models: got 'gan'"), ({"arms": ("all",)}, "arms: got 'all'")):
        with pytest.raises(ValueError, match=message):
            planned(GeneratedImagesConfig(tmp_path, **wrong), tmp_path)
    with pytest.raises(ValueError, match="reid_options: got 'epochs'"):
        planned(GeneratedImagesConfig(tmp_path, reid_options=("epochs",)), tmp_path)
    with pytest.raises(ValueError, match="got none of one"):
        GeneratedImagesConfig(tmp_path, seeds=())


def test_mistakes_are_found_before_the_first_run(
    config: GeneratedImagesConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine()
    monkeypatch.setattr(study, "run_command", machine)
    for told, message in (
        ({"generate_options": ("stepz=4",)}, "seed 0: dcgan: its options are not understood"),
        ({"generate_options": ("ndf=8",)}, "seed 0: diffusion: its options are not understood"),
        ({"generate_options": ("critic_steps=2",)}, "seed 0: dcgan: its options are not understood"),
        ({"reid_options": ("epochz=2",)}, "seed 0: none: its options are not understood"),
    ):
        with pytest.raises(ValueError, match=message):
            main(dataclasses.replace(config, **told))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert not machine.names and "stepz" in said and "ndf: got 8 with diffusion" in said
    plan = planned(dataclasses.replace(config, generate_options=("spectral_norm=both",)), config.out)
    assert plan.models["vae-wgangp"]["spectral_norm"] == plan.models["dcgan"]["spectral_norm"] == "both"


def test_help_names_what_the_plan_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(GeneratedImagesConfig(tmp_path), tmp_path)
    with pytest.raises(SystemExit):
        parse_config(GeneratedImagesConfig, ["--help"])
    shown = capsys.readouterr().out.replace("\u2502", " ").replace(",", " ").replace(".", " ").split()
    assert {*plan.models, *plan.real, *plan.arms} <= set(shown)


def test_worlds_are_cut_to_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(study, "run_command", machine)
    plan = planned(GeneratedImagesConfig(tmp_path), tmp_path)
    write_world(plan, 0)
    write_world(plan, 0)
    left = sorted(path.name for path in (plan.world_folder(0) / "bounding_box_train").iterdir())
    assert left == ["0001_c1s1_000000_00.jpg", "0001_c2s1_000000_00.jpg"] and machine.names == ["seed 0: world"]
    assert not (plan.world_folder(0) / "annotations.json").exists()


def test_what_is_done_is_skipped_and_the_table_is_written(
    config: GeneratedImagesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, page = Machine(), tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr(study, "run_command", machine)
    main(GeneratedImagesConfig(config.out, models=config.models, seeds=(0,)))
    assert machine.names[:5] == [
        f"seed 0: {name}" for name in ("world", NONE, "dcgan", "quality of dcgan", "dcgan-lsro")
    ]
    assert len(machine.names) == 2 + 2 * 5
    main(GeneratedImagesConfig(config.out, models=config.models, seeds=(0, 1), readme=page))
    assert len(machine.names) == len(set(machine.names)) == 2 * 12
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.split(BEGIN)[1].split(END)[0].strip() == (config.out / "generated_images.md").read_text().strip()
    assert "| none |  | 0, 1 | 45.0 ± 7.1 |" in text and "| dcgan | lsro | 0, 1 | 50.5 ± 7.8 |" in text
    assert "+5.5 ± 0.7 | helps |" in text and "-5.5 ± 0.7 | **harms** |" in text
    assert "+0.0 ± 0.0 | no clear difference |" in text and "Worlds (medium) of 64 training people" in text
    assert "| dcgan | 0, 1 | 0.100 ± 0.000 | 0.002 ± 0.000 | 0.500" in text
    assert "| real test images | 0, 1 | 0.700 ± 0.000 |" in text
    assert read_records(tmp_path / "runs") == ([], [])  # they have a table of their own
    with pytest.raises(ValueError, match="made by another command"):
        main(GeneratedImagesConfig(config.out, models=config.models, seeds=(0,), generate_options=("steps=5",)))


def test_a_model_that_fails_does_not_stop_the_others(
    config: GeneratedImagesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "run_command", Machine("seed 0: dcgan"))
    with pytest.raises(ValueError, match="seed 0: dcgan: failed with status 2"):
        main(config)
    text = (config.out / "generated_images.md").read_text()
    assert (
        "- seed 0: dcgan: failed" in text and "| diffusion | lsro | 0, 1 |" in text and "| dcgan | lsro | 1 |" in text
    )


def test_plans_are_checked(tmp_path: Path) -> None:
    good = yaml.safe_load((study.ROOT / "experiments" / "generated_images.yaml").read_text())
    path = tmp_path / "plan.yaml"
    for change, message in (
        ({"extra": 1}, "allowed: arms"),
        ({"images_per_camera": 3}, "images_per_camera: got 3"),
        ({"models": {NONE: {}}}, "models: got none"),
        ({"models": {"real": {"real": "cats"}}}, "models: real: got 'cats', allowed: people, others"),
        ({"models": {"real": {"real": "people", "steps": 3}}}, "without other options"),
        ({"models": {"dcgan": {"arms": ["all"]}}}, "models: dcgan: got the arm all"),
    ):
        path.write_text(yaml.safe_dump(good | change))
        with pytest.raises(ValueError, match=message):
            read_plan(path, tmp_path, "no")
    path.write_text("a: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        read_plan(path, tmp_path, "no")
    with pytest.raises(FileNotFoundError, match="no such plan"):
        read_plan(tmp_path / "absent.yaml", tmp_path, "no")


def test_real_images_stand_for_generated_ones(
    config: GeneratedImagesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    monkeypatch.setattr(study, "run_command", machine)
    main(GeneratedImagesConfig(config.out, models=("real-people", "real-others"), seeds=(1,)))
    folder = config.out / "seed-1"
    people, others = (read_manifest(folder / f"images-real-{kind}") for kind in ("people", "others"))
    # One of the three images was cut from the training set; of the other world all three are taken, as nobody's.
    assert [(row.labels, row.group, row.model) for row in people] == [({1: 1.0}, 1, "real-people")]
    assert [(row.labels, row.group) for row in others] == [(None, None)] * 3
    # Each has only the labels that make sense for it, and what is done is not done again.
    done = list(machine.names)
    assert {name.removeprefix("seed 1: real-") for name in done if "real-" in name and "quality" not in name} == {
        "people", "people-group", "others", "others-lsro", "others-pseudo"
    }  # fmt: skip
    main(GeneratedImagesConfig(config.out, models=("real-people", "real-others"), seeds=(1,)))
    assert machine.names == done and not list(folder.glob("rendered*"))
    text = (config.out / "generated_images.md").read_text()
    assert "| real-people | group | 1 |" in text and "`real-others` are the training images of a world" in text
    few = folder / "world-medium-few"
    with pytest.raises(ValueError, match="holds no training image beside"):
        write_real_images("people", few, few, tmp_path / "none", "real-people")
    (few / "bounding_box_train" / "someone.jpg").touch()
    with pytest.raises(ValueError, match=r"someone.jpg: tells no person"):
        write_real_images("others", few, few, tmp_path / "none", "real-others")


def test_a_page_without_markers_gets_them_at_its_end() -> None:
    text = replace_section("page\n", "table")
    assert text.startswith("page\n\n## Generated images") and replace_section(text, "other").count(BEGIN) == 1
    with pytest.raises(ValueError, match="one of the markers"):
        replace_section(f"{BEGIN}\n", "table")
