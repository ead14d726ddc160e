"""AFLink's own weights, its training's judge, and strongsort++ as it comes."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from tracking.aflink import (
    WORLD_WEIGHTS,
    AfLinkConfig,
    judge_aflink,
    link_by_trajectories,
    load_aflink,
    main,
    same_person,
    train_aflink,
)
from tracking.mot16_benchmark import Mot16BenchmarkConfig, run_benchmark
from tracking.runner import TrackedSequence


def walk(first: int, last: int, start: tuple[float, float], step: tuple[float, float]) -> np.ndarray:
    """Frame, x and y of somebody who walks in line."""
    frame = np.arange(first, last + 1)
    return np.stack([frame, start[0] + step[0] * frame, start[1] + step[1] * frame], axis=1)


def write_sequence(folder: Path, people: list[np.ndarray], missed: range = range(0)) -> Path:
    """A sequence folder; who is missed has no detections in those frames."""
    for part in ("gt", "det"):
        (folder / part).mkdir(parents=True)
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={folder.name}\nseqLength=100\n")
    truth, found = "", ""
    for person, points in enumerate(people, start=1):
        for frame, x, y in points:
            truth += f"{frame:.0f},{person},{x - 20:.1f},{y - 50:.1f},40,100,1,1,1\n"
            if int(frame) not in missed:
                found += f"{frame:.0f},-1,{x - 20:.1f},{y - 50:.1f},40,100,0.9\n"
    (folder / "gt" / "gt.txt").write_text(truth)
    (folder / "det" / "det.txt").write_text(found)
    return folder.parent


def test_the_weights_that_come_along_know_where_they_come_from() -> None:
    assert WORLD_WEIGHTS.stat().st_size < 1_200_000
    with safe_open(WORLD_WEIGHTS, "pt") as file:
        record = json.loads(file.metadata()["record"])
    assert record["dataset"] == "aflink-worlds" and record["scores"]["judge"]["accuracy"] > 0.6
    card = json.loads(WORLD_WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["judge"] == record["scores"]["judge"] and "synthetic world" in card["training_data"]


def test_they_tell_who_walks_on() -> None:
    network = load_aflink()
    before = walk(1, 40, (100, 300), (2, 0.3))
    later = [walk(50, 80, (100, 300), (2, 0.3)), walk(50, 80, (300, 280), (-2, 0.3))]
    score = same_person(network, [before, before], later)
    assert score[0] > 0.8 > score[1]
    assert len(same_person(network, [], [])) == 0
    many = same_person(network, [before] * 1030, [later[0]] * 1030)
    np.testing.assert_allclose(many, score[0], rtol=1e-4)


def test_strongsort_plus_plus_needs_nothing_but_its_name(tmp_path: Path) -> None:
    truth = write_sequence(tmp_path / "train" / "MOT16-05", [walk(1, 100, (60, 200), (3, 0))], range(50, 62))
    settings = {"gt": truth, "appearance": False}
    # The online part keeps nothing of who is not seen, so that there is something to link.
    methods = {"tracking_method": ("strongsort", "strongsort++"), "max_age": 2}
    records = run_benchmark(Mot16BenchmarkConfig(out=tmp_path / "a", **settings, **methods))
    online, whole = (records[name]["scores"]["COMBINED"] for name in methods["tracking_method"])
    assert online["IDSW"] == 1 and whole["IDSW"] == 0
    assert whole["HOTA"] > online["HOTA"] and whole["CLR_FN"] < online["CLR_FN"]  # linked, and the gap filled
    offline = records["strongsort++"]["scores"]["offline"]
    assert offline["link"] == "aflink" and offline["aflink_weights"] is None


def test_joining_leaves_boxes_alone() -> None:
    points = np.concatenate([walk(1, 40, (100, 300), (2, 0)), walk(46, 90, (100, 300), (2, 0))])
    count = len(points)
    xywh = np.column_stack([points[:, 1] - 20, points[:, 2] - 50, np.full(count, 40.0), np.full(count, 100.0)])
    identity = np.repeat([1, 2], [40, 45])
    tracked = TrackedSequence(points[:, 0].astype(int), identity, xywh, np.ones(count), np.arange(count), 1.0, 90)
    linked = link_by_trajectories(tracked, load_aflink())
    assert set(linked.track_id.tolist()) == {1}
    np.testing.assert_array_equal(linked.xywh, tracked.xywh)


def test_training_judges_itself_on_other_sequences(tmp_path: Path, capsys) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        rng = np.random.default_rng(seed)
        people = [walk(1, 100, tuple(rng.uniform(0, 200, 2)), tuple(rng.normal(0, 2, 2))) for _ in range(12)]
        write_sequence(tmp_path / name / "WORLD-01", people)
    options = ["--gt", tmp_path / "a", "--judge", tmp_path / "b", "--pairs", "60", "--epochs", "1"]
    assert main([*map(str, options), "--out", str(tmp_path / "x.safetensors")]) == 0
    assert "other sequences: pairs " in capsys.readouterr().out
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        record = json.loads(file.metadata()["record"])
    assert record["dataset"] == "a" and set(record["scores"]["judge"]) == {
        *("pairs", "accuracy", "linked", "wrongly linked"),
    }
    empty = write_sequence(tmp_path / "c" / "WORLD-01", [walk(1, 50, (0, 0), (1, 1))])
    with pytest.raises(ValueError, match="no pairs of one person and of two"):
        train_aflink(AfLinkConfig(gt=tmp_path / "a", judge=empty, out=tmp_path / "y", pairs=10))


def test_the_judge_counts_by_hand(monkeypatch) -> None:
    pairs = [(walk(1, 9, (0, 0), (1, 0)), walk(12, 20, (0, 0), (1, 0)), kind) for kind in (1, 1, 0, 0, 0)]
    scores = np.array([0.99, 0.6, 0.96, 0.7, 0.1])
    monkeypatch.setattr("tracking.aflink.same_person", lambda network, earlier, later: scores)
    judged = judge_aflink(None, pairs)
    assert judged == {
        "pairs": 5,
        "accuracy": pytest.approx((1 + 1 / 3) / 2),
        "linked": 0.5,
        "wrongly linked": pytest.approx(1 / 3),
    }
