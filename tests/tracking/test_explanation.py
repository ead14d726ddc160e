"""Explained results: each cause of a switch on a scene made for it, the page, runs kept beside results, the command."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.data.mot import read_ground_truth
from synthetic_world.export import MotOptions, write_mot
from tracking import TRACKERS, build_tracker
from tracking.close_calls import close_calls
from tracking.crop_strips import Shot, choose_shots, draw_strip
from tracking.decisions import DecisionLog, Stage
from tracking.evaluation import evaluate_mot, main
from tracking.explain_command import ExplainConfig, explain_results
from tracking.kalman import XYAH, KalmanFilter
from tracking.mot16_benchmark import Mot16BenchmarkConfig, run_benchmark
from tracking.offline import OfflineOptions
from tracking.run_record import SUFFIX, read_run, record_run, run_again, write_run
from tracking.sources import SequenceDetections, deepsort_npy_source, det_txt_source
from tracking.switch_stories import CAUSES
from tracking.track_table import TrackTable

Rows = list[tuple[int, int, float]]  # frame, identity, left
Looks = list[list[float]] | None
Run = Callable[..., subprocess.CompletedProcess[str]]


def scene(
    root: Path, people: Rows, boxes: list[tuple[int, float]], looks: list[list[float]] | None, **run: Any
) -> Path:
    """Writes gt/A, and results/A.txt with its run, of a tracker on `boxes` of (frame, left); returns the result."""
    last = max(frame for frame, *_ in people)
    folder = root / "gt" / "A"
    (folder / "gt").mkdir(parents=True)
    lines = [f"{frame},{person},{left},100,40,100,1,1,1\n" for frame, person, left in people]
    (folder / "gt" / "gt.txt").write_text("".join(lines))
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nseqLength={last}\nimWidth=1000\nimHeight=400\n")
    order = sorted(range(len(boxes)), key=lambda place: boxes[place][0])
    frame = np.array([boxes[place][0] for place in order])
    xywh = np.array([[boxes[place][1], 100, 40, 100] for place in order], float)
    embeddings = None if looks is None else np.array([looks[place] for place in order], np.float32)
    source = SequenceDetections("A", frame, xywh, np.full(len(frame), 0.9), embeddings, last)
    method = run.pop("method")
    tracker = build_tracker(method, **run)
    record = record_run(tracker, OfflineOptions(), source, np.arange(1, last + 1))
    write_run(root / "results" / f"A{SUFFIX}", record)
    run_again(record)[0].write(root / "results" / "A.txt")
    return root / "results" / "A.txt"


def only_story(root: Path) -> Any:
    _, explained, scores = explain_results(ExplainConfig(root / "results", root / "gt"))
    (story,) = explained["A"].stories
    assert scores["as tracked"]["COMBINED"]["IDSW"] == 1 and not explained["A"].notes[1:]
    return story


def walk(person: int, left: float, frames: range, step: float = 0.0) -> Rows:
    return [(frame, person, left + step * frame) for frame in frames]


def test_ended(tmp_path: Path) -> None:
    people = walk(1, 100, range(1, 21))
    boxes = [(frame, left) for frame, _, left in people if not 8 <= frame <= 12]
    scene(tmp_path, people, boxes, None, method="sort", n_init=1, max_age=2)
    story = only_story(tmp_path)
    assert (story.cause, story.frame, story.earlier, story.later) == ("ended", 13, 1, 2)
    assert story.sentences == [
        "In frame 13 track 2 began with this person's detection 0.",
        "Track 1 met its last detection in frame 7 and was no more in frame 13.",
    ]


def test_gate(tmp_path: Path) -> None:
    people = [(frame, 1, 100 if frame < 10 else 500) for frame in range(1, 21)]
    boxes = [(frame, left) for frame, _, left in people]
    look = [[1.0, 0.0]] * len(boxes)
    scene(tmp_path, people, boxes, look, method="strongsort", n_init=1)
    story = only_story(tmp_path)
    assert story.cause == "gate" and story.frame == 10 and story.costs[0].cost == 1e5
    assert story.costs[0].parts["Mahalanobis distance squared"] > 9.4877
    assert story.costs[0].parts["cosine distance"] == pytest.approx(0, abs=1e-6)
    assert "was forbidden (looks and motion)" in story.sentences[-1]


def test_cost(tmp_path: Path) -> None:
    # The person is away for three frames and comes back with another look, which is all that counts after a gap.
    people = walk(1, 100, range(1, 21))
    boxes = [(frame, left) for frame, _, left in people if not 10 <= frame <= 12]
    looks = [[1.0, 0.0] if frame < 10 else [0.0, 1.0] for frame, _ in boxes]
    scene(tmp_path, people, boxes, looks, method="strongsort", n_init=1)
    story = only_story(tmp_path)
    assert (story.cause, story.frame) == ("cost", 13)
    first = story.costs[0]
    assert first.cost > first.limit == pytest.approx(0.35) and first.parts["cosine distance"] == pytest.approx(1)
    assert f"cost {first.cost:.3f}, over the limit of 0.350" in story.sentences[-1]


def test_left(tmp_path: Path) -> None:
    # Two people swap places at once; boxes are paired by overlap, so the tracks stay where they are.
    people = [
        row
        for frame in range(1, 21)
        for row in ((frame, 1, 100 if frame < 10 else 400), (frame, 2, 400 if frame < 10 else 100))
    ]
    boxes = [(frame, left) for frame, _, left in people]
    scene(tmp_path, people, boxes, None, method="bytetrack", n_init=1)
    _, explained, _ = explain_results(ExplainConfig(tmp_path / "results", tmp_path / "gt"))
    stories = explained["A"].stories
    assert [story.cause for story in stories] == ["left", "left"]
    assert f"In frame 10 track {stories[0].earlier} met detection" in stories[0].sentences[1]
    assert "of person 2." in stories[0].sentences[1]
    assert {cost.detection for cost in stories[0].costs} == {0, 1}


def test_no_detection(tmp_path: Path) -> None:
    # Track 1 follows person 1, who then stands still and is not detected; track 2's predicted box passes over there.
    people = walk(1, 200, range(1, 9)) + walk(2, 100, range(1, 9), 14)
    boxes = [(frame, left) for frame, person, left in people if frame < (5 if person == 1 else 7)]
    scene(tmp_path, people, boxes, None, method="strongsort", appearance=False, n_init=1, coast=8)
    _, explained, _ = explain_results(ExplainConfig(tmp_path / "results", tmp_path / "gt"))
    causes = {story.cause for story in explained["A"].stories}
    assert causes <= set(CAUSES) and explained["A"].following is not None
    following = explained["A"].following
    assert len(following.switches) == len(explained["A"].stories)


def log_of(cost: list[list[float]], met: list[int], limit: float = 1.0) -> DecisionLog:
    table = TrackTable(KalmanFilter(XYAH))
    log = DecisionLog()
    ids = np.arange(1, len(met) + 1)
    table.track_id, table.detection = ids, np.array(met)
    log.add(Stage("x", ids, np.arange(len(cost[0])), np.array(cost), limit, {}))
    log.end_frame(7, table)
    return log


def test_close_calls_by_hand() -> None:
    calls = close_calls(log_of([[0.1, 0.3, 2.0], [0.2, 0.5, 0.9]], [0, 2]), 10)
    found = [(call.track_id, call.detection, call.rival_track, call.rival_detection) for call in calls]
    assert found == [(2, 2, 2, 0), (1, 0, 2, 0)] and [round(call.margin, 6) for call in calls] == [-0.7, 0.1]
    assert close_calls(log_of([[0.1, 2.0], [2.0, 0.2]], [0, 1]), 10) == []
    assert close_calls(log_of([[0.1, 0.3, 2.0], [0.2, 0.5, 0.9]], [0, 2]), 1) == calls[:1]
    assert close_calls(log_of([[0.1, 0.3]], [-1]), 10) == []


@pytest.mark.parametrize("method", sorted(TRACKERS))
def test_runs_are_kept_exactly(method: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(1, 31), 5)
    left = np.tile(np.arange(5) * 90.0, 30) + 3 * frame + rng.normal(0, 2, 150)
    xywh = np.stack([left, 100 + rng.normal(0, 2, 150), np.full(150, 40.0), np.full(150, 100.0)], axis=1)
    looks = rng.normal(size=(150, 8)).astype(np.float16)
    source = SequenceDetections("A", frame, xywh, rng.uniform(0.5, 1, 150), looks, 30, skipped=3)
    offline = OfflineOptions(link="looks", interpolation="gaussian", fill_gap=9)
    run = record_run(build_tracker(method, min_confidence=0.2), offline, source, np.arange(2, 31))
    write_run(tmp_path / f"A{SUFFIX}", run)
    again = read_run(tmp_path / f"A{SUFFIX}")
    assert TRACKERS[again.method] == TRACKERS[method] and (again.options, again.offline) == (run.options, run.offline)
    assert again.detections.embeddings is not None and again.detections.embeddings.dtype == np.float16
    first, second = run_again(run)[0], run_again(again, log=True)[0]
    for name in ("frame", "track_id", "xywh", "detection"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert again.detections.skipped == 3 and first.frame.min() >= 2
    data = (tmp_path / f"A{SUFFIX}").read_bytes()
    (tmp_path / "cut.run.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut\.run\.npz: not a readable run"):
        read_run(tmp_path / "cut.run.npz")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world sequence of pictures in train/, and what SORT makes of it in results/, with result.json beside."""
    root = tmp_path_factory.mktemp("explained")
    write_mot(MotOptions(sequences=1, frames=40, people=7, width=320, height=180, level="hard", seed=3), root / "world")
    (folder,) = (root / "world" / "train").iterdir()
    source = det_txt_source(folder / "det" / "det.txt", folder.name, 40)
    tracker = build_tracker("sort", min_confidence=0.1, n_init=1)
    run = record_run(tracker, OfflineOptions(), source, np.arange(1, 41))
    run_again(run)[0].write(root / "results" / "sort-n-init-1" / f"{folder.name}.txt")
    scores = {"options": run.options, "offline": vars(run.offline)}
    (root / "results" / "result.json").write_text(json.dumps({"sort-n-init-1": {"scores": scores}}))
    return root


def test_a_world_sequence_and_its_page(world: Path, tmp_path: Path) -> None:
    results, gt = world / "results" / "sort-n-init-1", world / "world" / "train"
    config = ExplainConfig(results, gt, out=tmp_path, detections=gt, switches=3)
    page, explained, scores = explain_results(config)
    ((name, explanation),) = explained.items()
    combined = evaluate_mot(gt, results)["COMBINED"]
    assert scores["as tracked"]["COMBINED"] == combined and len(explanation.stories) == combined["IDSW"] > 3
    assert list(scores) == [
        "as tracked",
        "identities mended",
        "boxes mended",
        "perfect association",
        "perfect detection",
    ]
    for better in list(scores)[1:]:
        assert scores[better]["COMBINED"]["HOTA"] > combined["HOTA"]
    assert scores["identities mended"]["COMBINED"]["IDSW"] == scores["perfect association"]["COMBINED"]["IDSW"] == 0
    assert not {"unknown"} & {story.cause for story in explanation.stories}
    text = page.read_text()
    assert "http" not in text and text.count("<article>") == 3 == text.count("data:image/jpeg")
    assert f"{len(explanation.stories) - 3} more are in explain.json" in text
    assert len(re.findall("<table", text)) == text.count("</table>") and "Closest calls" in text
    record = json.loads((tmp_path / "explain.json").read_text())
    assert len(record["sequences"][name]["switches"]) == combined["IDSW"]
    assert record["oracles"]["as tracked"]["COMBINED"]["HOTA"] == combined["HOTA"]


def test_without_the_run_and_with_another(world: Path, tmp_path: Path) -> None:
    results, gt = world / "results" / "sort-n-init-1", world / "world" / "train"
    _, explained, scores = explain_results(ExplainConfig(results, gt, out=tmp_path))
    (explanation,) = explained.values()
    assert "track with --log-costs" in explanation.notes[0] and {s.cause for s in explanation.stories} == {"unknown"}
    assert list(scores) == ["as tracked", "identities mended", "boxes mended"] and not explanation.calls
    other = ExplainConfig(results, gt, out=tmp_path, detections=gt, tracking_method="bytetrack")
    (explanation,) = explain_results(other)[1].values()
    assert "gives another result" in explanation.notes[0] and {s.cause for s in explanation.stories} == {"unknown"}


def test_without_ground_truth_the_closest_calls_remain(tmp_path: Path) -> None:
    people = walk(1, 100, range(1, 21), 3) + walk(2, 160, range(1, 21), -2)
    result = scene(tmp_path, people, [(frame, left) for frame, _, left in people], None, method="sort", n_init=1)
    page, explained, scores = explain_results(ExplainConfig(result))
    assert page == result.parent / "explained" / "explain.html" and scores == {}
    assert explained["A"].calls and "Closest calls of A" in page.read_text()
    (result.parent / f"A{SUFFIX}").unlink()
    with pytest.raises(ValueError, match=r"nothing to explain it by; give --gt"):
        explain_results(ExplainConfig(result))


def test_images_may_lie_elsewhere(world: Path, tmp_path: Path) -> None:
    results, gt = world / "results" / "sort-n-init-1", world / "world" / "train"
    (folder,) = gt.iterdir()
    bare = tmp_path / "gt" / folder.name
    (bare / "gt").mkdir(parents=True)
    (bare / "gt" / "gt.txt").write_text((folder / "gt" / "gt.txt").read_text())
    (bare / "seqinfo.ini").write_text((folder / "seqinfo.ini").read_text())
    for images, count in ((None, 0), (gt, 2), (folder, 2), (folder / "img1", 2)):
        config = ExplainConfig(results, tmp_path / "gt", images=images, out=tmp_path / "out", switches=2)
        assert explain_results(config)[0].read_text().count("data:image/jpeg") == count
    with pytest.raises(ValueError, match="no images named by frame number"):
        explain_results(ExplainConfig(results, tmp_path / "gt", images=tmp_path))


def test_strips(world: Path) -> None:
    results, gt = world / "results" / "sort-n-init-1", world / "world" / "train"
    (explanation,) = explain_results(ExplainConfig(results, gt, out=world / "strips"))[1].values()
    subject, following = explanation.subject, explanation.following
    assert following is not None and subject.truth is not None
    for switch in following.switches:
        shots = choose_shots(switch, following, subject.rows, subject.truth)
        tracks = [shot.track_id for shot in shots]
        assert tracks == sorted(tracks, key=[switch.earlier, None, switch.later].index) and len(shots) <= 8
        frames = [shot.frame for shot in shots]
        assert frames == sorted(frames) and switch.before in frames and switch.frame in frames
    strip = draw_strip(shots, subject.images)
    assert strip is not None and strip.dtype == np.uint8 and strip.shape[1] == len(shots) * (96 + 6)
    assert draw_strip(shots, {}) is None
    far = Shot(1, np.array([-500.0, -500.0, 10.0, 10.0]), None)
    assert draw_strip([far], subject.images) is not None


def test_command_line(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    results, gt = world / "results" / "sort-n-init-1", world / "world" / "train"
    arguments = [str(results), "--gt", str(gt), "--detections", str(gt), "--out", str(tmp_path)]
    assert main(["explain", *arguments]) == 0
    out = capsys.readouterr().out
    assert "perfect detection" in out and "switches: " in out and str(tmp_path / "explain.html") in out
    for wrong, words in (
        (["--switches", "-1"], "--switches: got -1"),
        (["--tracking-method", "nothing"], "tracker: got 'nothing'"),
        (["--sequence-map", "x", "y"], "sequence_map: got ground truth 'y'"),
        (["--detection-columns", "7"], "only with .npy"),
    ):
        assert main(["explain", *arguments, *wrong]) == 2
        assert words in capsys.readouterr().err
    for wrong, words in (
        ([str(tmp_path / "none")], "no result; give a file"),
        ([str(results), "--tracking-method", "sort"], "used with --detections only"),
        ([str(results), "--sequence-map", "x", "y"], "used with --gt only"),
    ):
        assert main(["explain", *wrong]) == 2
        assert words in capsys.readouterr().err
    (world / "results" / "result.json").rename(world / "results" / "kept.json")
    assert main(["explain", *arguments]) == 2 and "pass --tracking-method" in capsys.readouterr().err
    (world / "results" / "result.json").write_text("{}")
    assert main(["explain", *arguments]) == 2 and "no record of sort-n-init-1" in capsys.readouterr().err
    (world / "results" / "kept.json").rename(world / "results" / "result.json")
    assert "explain RESULT" in run_python("-m", "tracking.evaluation", "--help").stdout.replace("\n", " ")


@pytest.mark.real_data
@pytest.mark.parametrize("method", ["strongsort", pytest.param("reidsort", marks=pytest.mark.slow)])
def test_real_features_without_images(method: str, shared_data: Path, tmp_path: Path) -> None:
    source = deepsort_npy_source(shared_data / "deepsort-features" / "MOT17-09-FRCNN.npy")
    run = record_run(
        build_tracker(method, min_confidence=0.1), OfflineOptions(), source, np.arange(1, source.length + 1)
    )
    result = tmp_path / "MOT17-09-FRCNN.txt"
    run_again(run)[0].write(result)
    write_run(tmp_path / f"MOT17-09-FRCNN{SUFFIX}", run)
    gt = shared_data / "mot16" / "train"
    _, explained, scores = explain_results(ExplainConfig(result, gt))
    explanation = explained["MOT17-09-FRCNN"]
    hota = {name: value["COMBINED"]["HOTA"] for name, value in scores.items()}
    assert next(iter(hota)) == "as tracked" and len(hota) == 6 and min(hota, key=hota.get) == "as tracked"
    assert len(explanation.stories) == scores["as tracked"]["COMBINED"]["IDSW"] > 5 and not explanation.notes
    assert "unknown" not in {story.cause for story in explanation.stories}
    truth = read_ground_truth(gt / "MOT16-09" / "gt" / "gt.txt")
    for story in explanation.stories:
        assert story.switch.before < story.frame <= story.switch.frame
        assert story.switch.person in truth.track_id
        for cost in story.costs:
            assert cost.track_id in (story.earlier, story.later)


def test_log_costs_of_the_benchmark(world: Path, tmp_path: Path) -> None:
    gt = world / "world" / "train"
    common: dict[str, Any] = {"tracking_method": ("sort", "bytetrack"), "interpolation": "linear"}
    run_benchmark(Mot16BenchmarkConfig(gt=gt, out=tmp_path, log_costs=True, **common))
    for method in ("sort", "bytetrack"):
        assert len(list((tmp_path / method).glob(f"*{SUFFIX}"))) == 1
        _, explained, scores = explain_results(ExplainConfig(tmp_path / method, gt))
        (explanation,) = explained.values()
        assert explanation.calls and "unknown" not in {story.cause for story in explanation.stories}
        assert len(scores) == 5
    plain = tmp_path / "plain"
    run_benchmark(Mot16BenchmarkConfig(gt=gt, out=plain, **common))
    assert not list(plain.rglob(f"*{SUFFIX}"))
    for path in plain.glob("*/*.txt"):
        assert path.read_bytes() == (tmp_path / path.relative_to(plain)).read_bytes()
    run_benchmark(Mot16BenchmarkConfig(gt=gt, out=tmp_path, **common))
    assert not list((tmp_path / "sort").glob(f"*{SUFFIX}"))  # it would tell of an earlier run
