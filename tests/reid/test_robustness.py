"""Scores on damaged images: the command, its options, its picture."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reid.checkpoint import Card, save_checkpoint
from reid.config import parse_config
from reid.corruptions import CORRUPTIONS, corrupt
from reid.data import read_dataset
from reid.data.crops import load_crop
from reid.data.images import Preprocessing
from reid.evaluation import rank
from reid.histogram import ColourHistogram
from reid.models import build_model
from reid.report.robustness_page import curves_of
from reid.report.robustness_picture import Curve, draw_robustness
from reid.robustness import RobustnessConfig, embed_corrupted, main

COLOURS = "colour-histogram"


def run(root: Path, out: Path, **options) -> list[dict]:
    main(RobustnessConfig(root=root, out=out, **({"baseline": COLOURS} | options)))
    return json.loads((out / "result.json").read_text())


@pytest.fixture
def plain_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares tests of numbers the seconds that a picture takes."""
    white = Image.new("RGB", (8, 8), "white")
    monkeypatch.setattr("reid.robustness.draw_robustness", lambda curves, path: white.save(path))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, paths = tmp_path_factory.mktemp("robustness"), []
    for number in range(2):
        torch.manual_seed(number)
        paths.append(folder / str(number) / "model.safetensors")
        state = build_model("seres18").state_dict()
        # The second one has learnt from test images.
        scores = [{"protocol": "transductive", "distance": "Euclidean"}] if number else []
        save_checkpoint(paths[-1], state, Card("seres18", {}, 0, 512, Preprocessing(32, 16), scores=scores))
    return paths


@pytest.mark.usefixtures("plain_picture")
def test_records_are_the_scores_of_damaged_queries(tiny_market: Path, tmp_path: Path) -> None:
    records = run(tiny_market, tmp_path, corruption=("darkness",), strengths=(0.99, 0.5), seed=3)
    assert [record["corruption"] and record["corruption"]["strength"] for record in records] == [None, 0.5, 0.99]
    data, embed = read_dataset("market1501", tiny_market), ColourHistogram()
    gallery = embed([load_crop(sample) for sample in data.gallery])
    for record, strength in zip(records, (0, 0.5, 0.99), strict=True):
        crops = [
            corrupt(load_crop(sample), "darkness", strength, seed=3, path=sample.path, camid=sample.camid)
            for sample in data.query
        ]
        expected = rank(embed(crops), gallery, data.query, data.gallery, rerank=False)["Euclidean"].result
        assert record["scores"]["mAP"] == pytest.approx(expected.mAP)
        assert record["protocol"] == "inductive" and record["method"] == COLOURS
        assert {"command", "commit", "seed", "hardware", "date", "dataset"} <= record.keys()
    assert records[0]["split"] == "query/bounding_box_test"
    assert records[2]["split"] == "query/bounding_box_test, query images with darkness 0.99"
    assert records[2]["corruption"] == {
        "name": "darkness",
        "strength": 0.99,
        "unit": CORRUPTIONS["darkness"].unit,
        "images": "query",
    }
    assert records[2]["scores"]["mAP"] < records[0]["scores"]["mAP"]


def test_networks_share_a_picture_and_protocols_share_no_table(
    tiny_market: Path, tmp_path: Path, checkpoints: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"ckpt": tuple(checkpoints), "corruption": ("occlusion",), "strengths": (0.3,), "device": "cpu"}
    records = run(tiny_market, tmp_path, **options, batch_size=7)
    assert [record["method"] for record in records] == [str(path) for path in checkpoints for _ in "ab"] + [COLOURS] * 2
    assert [record["protocol"] for record in records] == ["inductive"] * 2 + ["transductive"] * 2 + ["inductive"] * 2
    assert records[0]["checkpoint_sha256"] != records[2]["checkpoint_sha256"] and not records[4]["checkpoint_sha256"]
    assert list(curves_of(records)) == [str(checkpoints[0]), f"{checkpoints[1]} (transductive)", COLOURS]
    with Image.open(tmp_path / "robustness.png") as image:
        assert np.asarray(image.convert("RGB")).std() > 5
    text = (tmp_path / "report.html").read_text()
    inductive, transductive = text.split("<h2 ")[1:]
    assert str(checkpoints[0]) in inductive and str(checkpoints[1]) not in inductive
    assert str(checkpoints[1]) in transductive and COLOURS not in transductive
    assert "http" not in text and text.count("data:image/") == 1 and "<dt>command</dt>" in inductive
    printed = capsys.readouterr().out
    assert "Euclidean, inductive" in printed and "Euclidean, transductive" in printed


@pytest.mark.usefixtures("plain_picture")
def test_options_act(tiny_market: Path, tmp_path: Path) -> None:
    assert {field.name for field in dataclasses.fields(RobustnessConfig)} == {
        *("root", "ckpt", "baseline", "dataset", "dataset_options", "what", "corruption", "strengths", "out"),
        *("device", "batch_size", "seed"),
    }
    options = {"corruption": ("camera_shift",), "strengths": (6.0,)}
    maps = {
        (what, seed): run(tiny_market, tmp_path, what=what, seed=seed, **options)[1]["scores"]["mAP"]
        for what, seed in (("query", 0), ("gallery", 0), ("both", 0), ("query", 1))
    }
    assert len(set(maps.values())) > 2 and maps["query", 0] != maps["query", 1]
    records = run(tiny_market, tmp_path, corruption=("blur",))
    conditions = [(record["corruption"]["name"], record["corruption"]["strength"]) for record in records[1:]]
    assert conditions == [("blur", value) for value in CORRUPTIONS["blur"].strengths]
    assert {name for name, _ in RobustnessConfig(root=tmp_path, baseline=COLOURS).conditions()} == set(CORRUPTIONS)
    with pytest.raises(ValueError, match="dataset: got 'nothing'"):
        run(tiny_market, tmp_path, dataset="nothing")
    with pytest.raises(ValueError, match="options of market1501: got colour"):
        run(tiny_market, tmp_path, dataset_options=("colour=red",))


def test_both_sides_are_the_plain_loop(tiny_market: Path) -> None:
    data, embed = read_dataset("market1501", tiny_market), ColourHistogram()
    told: list[int] = []
    rows = embed_corrupted(embed, data.gallery, ("blur", 2.0), 0, told.append)
    crops = [corrupt(load_crop(s), "blur", 2.0, seed=0, path=s.path, camid=s.camid) for s in data.gallery]
    assert (rows == embed(crops)).all() and sum(told) == len(data.gallery)
    assert (embed_corrupted(embed, data.gallery, None, 0) == embed([load_crop(s) for s in data.gallery])).all()


def test_the_readme_shows_a_command_that_parses(repository: Path) -> None:
    command = re.findall(r"`python -m reid.robustness (.*?)`", (repository / "README.md").read_text(encoding="utf-8"))
    config = parse_config(RobustnessConfig, shlex.split(command[0]))
    assert len(command) == 1 and len(config.ckpt) == 2 and len(config.conditions()) == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "none"}, "give --ckpt FILE"),
        ({"corruption": ("snow",)}, "corruption: got snow, allowed: each of occlusion"),
        ({"corruption": ("blur", "blur")}, "corruption: got blur, blur"),
        ({"strengths": (1.0,)}, "strengths: got .* with one --corruption"),
        ({"corruption": ("occlusion",), "strengths": (1.5,)}, "strengths: got 1.5, allowed: above 0, up to 1.0"),
        ({"corruption": ("occlusion",), "strengths": (0.0,)}, "strengths: got 0.0"),
        ({"dataset_options": ("x",)}, "allowed: NAME=VALUE"),
        ({"batch_size": 0}, "batch_size: got 0"),
    ],
)
def test_bad_options_are_named(options, message, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        RobustnessConfig(root=tmp_path, **({"baseline": COLOURS} | options))


def test_a_file_given_twice_is_refused(tiny_market: Path, tmp_path: Path, checkpoints: list[Path]) -> None:
    with pytest.raises(ValueError, match="ckpt: got a file twice"):
        run(tiny_market, tmp_path, ckpt=(checkpoints[0], checkpoints[0]), device="cpu")


def test_picture_follows_its_curves(tmp_path: Path) -> None:
    curve = Curve([0, 0.1, 0.5], [0.8, 0.6, 0.2], [0.9, 0.7, 0.3])
    assert curve.kept() == pytest.approx(0.5)
    assert Curve([0, 1], [0.0, 0.0], [0, 0]).kept() is None
    pictures = []
    for value in (0.2, 0.4):
        worse = dataclasses.replace(curve, mAP=[0.8, 0.6, value])
        draw_robustness({"a": {"occlusion": curve, "blur": worse}}, tmp_path / "r.png")
        pictures.append((tmp_path / "r.png").read_bytes())
    assert pictures[0] != pictures[1]
    for broken in ({}, {"a": {}}, {"a": {"blur": curve}, "b": {"occlusion": curve}}):
        with pytest.raises(ValueError, match="curves: got"):
            draw_robustness(broken, tmp_path / "x.png")
