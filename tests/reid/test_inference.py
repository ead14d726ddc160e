"""The inference entry point: records, tables, pictures, other protocols."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_runs import score

from reid.checkpoint import load_checkpoint, save_checkpoint
from reid.compare import CompareConfig
from reid.compare import main as compare
from reid.export import export_onnx
from reid.records import file_sha256


def test_records_carry_protocol_and_checkpoint(tiny_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    records = score(tiny_market, tmp_path, ckpt=checkpoint)
    assert [(r["distance"], r["protocol"]) for r in records] == [
        ("Euclidean", "inductive"),
        ("Jaccard", "transductive"),
    ]
    for record in records:
        assert record["checkpoint_sha256"] == file_sha256(checkpoint)
        assert {"dataset", "split", "commit", "seed", "command", "hardware", "date"} <= record.keys()
        assert 0 <= record["scores"]["mAP"] <= 1 and record["scores"]["num_valid"] == 18
        assert record["cmc"][0] == record["scores"]["Rank-1"]


def test_scores_of_a_network_that_learnt_from_test_images_are_transductive(
    tiny_market: Path, tmp_path: Path, checkpoint: Path
) -> None:
    state, card = load_checkpoint(checkpoint)
    adapted = tmp_path / "adapted.safetensors"
    told = dataclasses.replace(card, scores=[{"protocol": "transductive", "distance": "Euclidean"}])
    save_checkpoint(adapted, state, told)
    export_onnx(adapted, tmp_path / "adapted.onnx")
    for path in (adapted, tmp_path / "adapted.onnx"):
        assert {record["protocol"] for record in score(tiny_market, tmp_path, ckpt=path)} == {"transductive"}
    with pytest.raises(ValueError, match="no rival"):
        compare(CompareConfig(first=checkpoint, second=adapted, root=tiny_market))


def test_onnx_scores_as_its_checkpoint_does(tiny_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    export_onnx(checkpoint, tmp_path / "model.onnx")
    ours, theirs = (
        score(tiny_market, tmp_path / source.suffix[1:], ckpt=source)[0]["scores"]
        for source in (checkpoint, tmp_path / "model.onnx")
    )
    assert ours == pytest.approx(theirs, abs=0.02)


def test_colours_tell_these_people_apart(tiny_market: Path, tmp_path: Path) -> None:
    records = score(tiny_market, tmp_path, baseline="colour-histogram")
    assert records[0]["scores"]["mAP"] > 0.9 and records[0]["checkpoint_sha256"] is None


def test_reranking_can_be_left_out(noisy_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    assert [record["distance"] for record in score(noisy_market, tmp_path, ckpt=checkpoint, rerank=False)] == [
        "Euclidean"
    ]
    only_original = score(noisy_market, tmp_path, ckpt=checkpoint, lambda_value=1.0)
    assert only_original[1]["scores"]["Rank-1"] == only_original[0]["scores"]["Rank-1"]


def test_pictures_are_drawn_when_asked_for(tiny_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    pictures = {"cmc.png", "ranked_lists_euclidean.jpg", "ranked_lists_jaccard.jpg"}
    score(tiny_market, tmp_path / "with", ckpt=checkpoint, pictures=True, top=3, seed=1)
    assert {path.name for path in (tmp_path / "with").iterdir()} == pictures | {"result.json"}
    score(tiny_market, tmp_path / "without", ckpt=checkpoint)
    assert [path.name for path in (tmp_path / "without").iterdir()] == ["result.json"]
    few = (tmp_path / "with" / "ranked_lists_euclidean.jpg").stat().st_size
    score(tiny_market, tmp_path / "with", ckpt=checkpoint, pictures=True, top=8, seed=1)
    assert (tmp_path / "with" / "ranked_lists_euclidean.jpg").stat().st_size > few


def test_a_report_is_written_when_asked_for(tiny_market: Path, tmp_path: Path) -> None:
    options = {"baseline": "colour-histogram", "pictures": True, "rerank": False, "pca": 8}
    records = score(tiny_market, tmp_path, **options, report=True, fmr=[0.02, 0.2], top=2, seed=5)
    assert {"report.html", "report.json", "report", "result.json"} <= {path.name for path in tmp_path.iterdir()}
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["scores"]["records"] == records
    names = [row["threshold at"] for row in told["euclidean_open_set"]["open_set"]]
    assert names[1:-1] == ["FMR 2 %", "FMR 20 %"]
    assert "seed 5" in (tmp_path / "report.html").read_text()


def test_files_with_other_names_are_reported(
    tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    for name in ("person_1.jpg", "0009_c1s1_000000_01.bmp"):
        shutil.copy(next((tiny_market / "query").iterdir()), tmp_path / "market" / "query" / name)
    score(tmp_path / "market", tmp_path / "out", baseline="colour-histogram", rerank=False)
    assert "note: 2 images are left out, e.g. query/0009_c1s1_000000_01.bmp" in capsys.readouterr().out


def test_unreadable_images_are_refused_before_anything_is_embedded(
    tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    last = max((tmp_path / "market" / "bounding_box_test").iterdir())
    last.write_bytes(b"none")
    with pytest.raises(ValueError, match=f"1 test images cannot be read, e.g. {last}: not a readable image"):
        score(tmp_path / "market", tmp_path / "none", baseline="colour-histogram")
    assert "query ━" not in capsys.readouterr().out


SIZE = {"height": 48, "width": 24}


def test_input_size_and_precision_act(noisy_market: Path, tmp_path: Path, checkpoint: Path) -> None:
    plain, other = (score(noisy_market, tmp_path, ckpt=checkpoint, **more)[0] for more in ({}, SIZE))
    assert plain["scores"]["mAP"] != other["scores"]["mAP"] and "input" not in plain and other["input"] == [48, 24]
    plain, half = (
        score(noisy_market, tmp_path, ckpt=checkpoint, height=64, width=40, precision=precision)[0]["scores"]["mAP"]
        for precision in ("fp32", "bf16")
    )
    assert half != plain and np.isclose(half, plain, atol=0.1)
    with pytest.raises(ValueError, match=r"precision: got bf16 on the CPU with images 32 pixels wide, allowed"):
        score(noisy_market, tmp_path, ckpt=checkpoint, height=64, width=32, precision="bf16")


def test_records_and_terminal_say_what_was_done(
    noisy_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"flip": True, "pca": 8, "whiten": True, "dba": 4, "alpha_qe": 3, "alpha": 2}
    record = score(noisy_market, tmp_path, ckpt=checkpoint, **options)[0]
    assert record["steps"] == [
        {"step": "flip", "protocol": "inductive"},
        {"step": "whitening", "protocol": "inductive", "dimensions": 8},
        {"step": "dba", "protocol": "transductive", "gallery_k": 4, "alpha": 2},
        {"step": "alpha_qe", "protocol": "transductive", "query_k": 3, "alpha": 2},
    ]
    told = capsys.readouterr().out
    steps = "flip (inductive), whitening (inductive), dba (transductive), alpha_qe (transductive)"
    assert f"steps: {steps}" in told
    assert f"{noisy_market.name}: transductive" in told.replace("\n", "") and ": inductive" not in told


def test_tables_keep_protocols_apart(
    tiny_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(tiny_market, tmp_path, ckpt=checkpoint)
    told = capsys.readouterr().out
    titles = [told.index(": inductive"), told.index(": transductive")]
    assert titles[0] < told.index("│ Euclidean") < titles[1] < told.index("│ Jaccard")


def test_intervals_stand_beside_the_scores(
    noisy_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def intervals(**options: Any) -> dict[str, Any]:
        return score(noisy_market, tmp_path, ckpt=checkpoint, rerank=False, **options)[0].get("intervals", {})

    usual = intervals()
    assert (usual["confidence"], usual["draws"]) == (0.95, 1000) and "95 % intervals" in " ".join(
        capsys.readouterr().out.split()
    )
    narrow = intervals(confidence=0.5)
    assert usual["mAP"][0] < narrow["mAP"][0] < narrow["mAP"][1] < usual["mAP"][1]
    assert intervals(seed=1)["mAP"] != usual["mAP"] and intervals(bootstrap=50)["mAP"] != usual["mAP"]
    capsys.readouterr()
    assert intervals(bootstrap=0) == {} and "% intervals" not in capsys.readouterr().out


def test_blockwise_scores_are_those_of_the_matrix(
    noisy_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = score(noisy_market, tmp_path / "whole", ckpt=checkpoint, distances="matrix", top_k=4)
    assert "distances: blockwise" not in capsys.readouterr().out
    blocks = score(noisy_market, tmp_path / "blocks", ckpt=checkpoint, distances="blockwise", top_k=4, pictures=True)
    assert "distances: blockwise; all 30 x 30 at once" in capsys.readouterr().out
    for one, other in zip(whole, blocks, strict=True):
        assert one["scores"] == other["scores"] and one["intervals"] == other["intervals"]
        assert (one["distances"], other["distances"]) == ("matrix", "blockwise")
        name = f"nearest_{one['distance'].lower()}.csv"
        lines = [(tmp_path / folder / name).read_text().splitlines() for folder in ("whole", "blocks")]
        rows = [[line.split(",") for line in part[1:]] for part in lines]
        assert [row[:3] for row in rows[0]] == [row[:3] for row in rows[1]] and len(rows[0]) == 30 * 4
        assert [float(row[3]) for row in rows[0]] == pytest.approx([float(row[3]) for row in rows[1]], abs=1e-4)
    assert (tmp_path / "blocks" / "ranked_lists_jaccard.jpg").stat().st_size > 0


def test_nearest_images_are_written(tiny_market: Path, tmp_path: Path) -> None:
    score(tiny_market, tmp_path, baseline="colour-histogram", top_k=8)
    lines = list(csv.DictReader((tmp_path / "nearest_euclidean.csv").open()))
    assert len(lines) == 18 * 8 and [int(line["rank"]) for line in lines[:5]] == [1, 2, 3, 4, 5]
    for line in lines:
        pids, cameras = zip(*(Path(line[side]).name.split("s1")[0].split("_c") for side in ("query", "gallery")))
        expected = "other" if len(set(pids)) == 2 else "left out" if len(set(cameras)) == 1 else "same"
        assert line["relation"] == expected and float(line["distance"]) >= 0
    assert {line["relation"] for line in lines} == {"same", "other", "left out"}


def test_neighbours_and_device_act(
    noisy_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = score(noisy_market, tmp_path, ckpt=checkpoint)[1]
    assert (plain["neighbours"], plain["rerank_device"]) == ("exact", "cpu")
    assert "re-ranking:" not in capsys.readouterr().out
    for options in ({"neighbours": "hnsw"}, {"neighbours": "ivf"}, {"rerank_device": "torch-cpu"}):
        record = score(noisy_market, tmp_path, ckpt=checkpoint, **options)[1]
        assert record["scores"]["mAP"] == pytest.approx(plain["scores"]["mAP"], abs=0.05)
        told = capsys.readouterr().out
        assert f"{record['neighbours']} neighbours on {record['rerank_device']}" in told
        assert ("recall" in told) == ("neighbours" in options)
    with pytest.raises(ValueError, match="device: got 'nowhere'"):
        score(noisy_market, tmp_path, ckpt=checkpoint, rerank_device="nowhere")
    assert capsys.readouterr().out == ""  # nothing was embedded for it


def test_single_shot_is_a_table_of_its_own(
    tiny_market: Path, noisy_market: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, drawn = (score(noisy_market, tmp_path, ckpt=checkpoint, **more)[0] for more in ({}, {"single_shot": 10}))
    told = capsys.readouterr().out
    assert "one random gallery image a person" in told and "not comparable" in told
    assert usual["scores"] == drawn["scores"] and "single_shot" not in usual
    assert drawn["single_shot"]["draws"] == 10 and drawn["single_shot"]["cmc"][9] == 1  # 10 people in the gallery
    other = score(noisy_market, tmp_path, ckpt=checkpoint, single_shot=10, seed=1)[0]
    assert other["single_shot"]["cmc"] != drawn["single_shot"]["cmc"]
    shutil.copytree(tiny_market, tmp_path / "market")
    image = next((tmp_path / "market" / "bounding_box_test").iterdir())
    distractor = image.with_name("0000_c1s1_000000_00.jpg")
    shutil.copy(image, distractor)
    with pytest.raises(ValueError, match="distractors"):
        score(tmp_path / "market", tmp_path, baseline="colour-histogram", single_shot=10)
    distractor.unlink()
    for path in image.parent.iterdir():
        if "_c1s1_000001_" not in path.name:
            path.unlink()
    with pytest.raises(ValueError, match="one image a person"):
        score(tmp_path / "market", tmp_path, baseline="colour-histogram", single_shot=10)


def test_dataset_options_reach_the_reader(tiny_market: Path, tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    files = sorted((tiny_market / "bounding_box_test").iterdir())
    table.write_text("path,pid\n" + "".join(f"{path},{path.name[:4]}\n" for path in files))
    options = {"dataset": "folder", "baseline": "colour-histogram", "rerank": False}
    half = score(table, tmp_path, **options)[0]["scores"]
    most = score(table, tmp_path, dataset_options=["test-fraction=0.8"], **options)[0]["scores"]
    assert most["num_valid"] > half["num_valid"]
    with pytest.raises(ValueError, match="options of folder: got boxes, allowed: test_fraction, seed"):
        score(table, tmp_path, dataset_options=["boxes=labeled"], **options)
    # Nobody knows the cameras of this table.
    with pytest.raises(ValueError, match=r"camera_bias: .* are unknown"):
        score(table, tmp_path, camera_bias=True, **options)


def test_one_identity_has_no_interval(tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "one" / name).mkdir(parents=True)
        for path in (tiny_market / name).glob("0009_*" if name != "bounding_box_train" else "*"):
            shutil.copy(path, tmp_path / "one" / name)
    record = score(tmp_path / "one", tmp_path, baseline="colour-histogram")[0]
    assert record["scores"]["mAP"] == 1 and "intervals" not in record
    assert "note: no intervals" in capsys.readouterr().out
    with pytest.raises(ValueError, match="1 identities with valid queries"):
        score(tmp_path / "one", tmp_path, baseline="colour-histogram", bootstrap=100)
