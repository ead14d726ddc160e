"""The report as a whole: its page, its numbers, and what each option changes."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from reid.data import read_dataset
from reid.data.base import ReIDDataset
from reid.evaluation import Ranking, protocol_of, rank, scores_of
from reid.histogram import ColourHistogram
from reid.open_set import open_set_rates
from reid.post_processing import TestFeatures
from reid.records import score_record
from reid.report import ReportOptions, write_report
from reid.report.page import Bar, code, figure, page, source, table
from reid.report.subject import Subject, find_annotations

SMALL = ReportOptions(top=3, num_queries=2, map_points=20, map_people=3, confused=4)


@pytest.fixture(scope="module")
def annotated(tiny_market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny folder with annotations."""
    root = tmp_path_factory.mktemp("report") / "market"
    shutil.copytree(tiny_market, root)
    images = []
    for folder in ("query", "bounding_box_test"):
        for number, path in enumerate(sorted((root / folder).iterdir())):
            note = {"visibility": 0.6 if number % 2 else 1.0, "box": [0, 0, 40, 100 + 90 * (number % 3)]}
            images.append({"file": f"{folder}/{path.name}", "viewpoint": 50.0 * number - 180} | note)
    (root / "annotations.json").write_text(json.dumps({"images": images}))
    return root


def scored(root: Path, noise: float = 1.5) -> tuple[ReIDDataset, TestFeatures, dict[str, Ranking]]:
    data = read_dataset("market1501", root)
    random, embed = np.random.default_rng(0), ColourHistogram()
    from reid.evaluation import embed_samples

    both = [embed_samples(embed, split, "", quiet=True) for split in (data.query, data.gallery)]
    both = [(rows + random.normal(0, noise, rows.shape) / 20).astype(np.float32) for rows in both]
    rankings = rank(*both, data.query, data.gallery, k1=6, k2=2)
    return data, TestFeatures(*both), rankings


def records_of(rankings: dict[str, Ranking]) -> list[dict]:
    return [
        score_record(scores_of(ranking.result), protocol=ranking.protocol, dataset="<tiny>", split="query", seed=7)
        | protocol_of(True)
        | {"distance": name, "method": "colours & more", "intervals": {"Rank-1": [0.1, 0.9], "confidence": 0.9}}
        for name, ranking in rankings.items()
    ]


@pytest.fixture(scope="module")
def report(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Ranking], ReIDDataset]:
    out = tmp_path_factory.mktemp("report-out")
    data, features, rankings = scored(annotated)
    written = write_report(out, rankings, data, features, records_of(rankings), SMALL)
    assert written == out / "report.html"
    return out, rankings, data


def test_the_page_is_one_file_with_everything_in_it(report) -> None:
    out = report[0]
    text = (out / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', text) and "http" not in text and "<script" not in text
    assert "@import" not in text and "url(" not in text
    pictures = sorted(path for path in (out / "report").rglob("*.*"))
    assert text.count("data:image/") == len(pictures) == 3 + 2 * 8
    assert (out / "report.html").stat().st_size < 10_000_000
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
    assert "&lt;tiny&gt;" in text and "<tiny>" not in text and "colours &amp; more" in text
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{anchor}"' in text


def test_every_table_says_where_its_numbers_come_from(report) -> None:
    text = (report[0] / "report.html").read_text()
    scores, *parts = text.split("<h2 id=")[1:]
    inductive, transductive = scores.split("<h3>")[1:]
    assert inductive.startswith("Inductive") and "Euclidean" in inductive and "Jaccard" not in inductive
    assert transductive.startswith("Transductive") and "Jaccard" in transductive and "Euclidean" not in transductive
    for name in ("<dt>protocol</dt>", "<dt>command</dt>", "<dt>commit</dt>", "<dt>seed</dt><dd>7</dd>", "<dt>hardware"):
        assert all(name in part for part in (inductive, transductive))
    assert "[10.0, 90.0]" in inductive
    for part in parts:
        assert part.count("<table>") <= part.count("<details>"), part[:200]


def test_the_numbers_are_those_of_the_functions(report) -> None:
    out, rankings, data = report
    numbers = json.loads((out / "report.json").read_text())
    assert [record["scores"] for record in numbers["scores"]["records"]] == [
        scores_of(ranking.result) for ranking in rankings.values()
    ]
    for name, ranking in rankings.items():
        part = numbers[f"{name.lower()}_open_set"]
        assert (part["distance"], part["protocol"]) == (name, ranking.protocol)
        ids = Subject(name, ranking, data).matrix_and_ids
        names = [row["threshold at"] for row in part["open_set"]]
        assert names == ["best balance (suggested)", "FMR 0.1 %", "FMR 1 %", "FMR 10 %", "equal error"]
        for row in part["open_set"]:
            rates = dataclasses.asdict(open_set_rates(*ids, row["threshold"]))
            assert rates == pytest.approx({key: row[key] for key in rates})
        groups = numbers[f"{name.lower()}_breakdown"]["breakdown"]
        assert set(groups) == {"camera", "visibility", "size", "direction"}  # not what nobody annotated
        for rows in groups.values():
            valid = sum(row["num_valid"] for row in rows)
            total = sum(row["mAP"] * row["num_valid"] for row in rows)
            assert valid == ranking.result.num_valid and total / valid == pytest.approx(ranking.result.mAP)
        assert numbers[f"{name.lower()}_breakdown"]["camera_pairs"]["mAP"][0][0] is None
        turns = numbers[f"{name.lower()}_breakdown"]["turns"]["rows"]
        assert sum(row["count"] for row in turns) == len(Subject(name, ranking, data).pairs.genuine)


def test_every_option_acts(annotated: Path, report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {field.name for field in dataclasses.fields(ReportOptions)} == {
        *("fmr", "top", "num_queries", "map_points", "map_people", "confused", "seed")
    }
    data, features, rankings = scored(annotated)
    told: dict[str, object] = {}

    def lists(*arguments, **options):
        told.update(options)
        shutil.copy(report[0] / "report" / "euclidean" / "ranked_best.jpg", arguments[3])

    def chosen(samples, most, identities, seed):
        told.update(most=most, identities=identities, map_seed=seed)
        from reid.report.embedding_map import MapPoints

        return MapPoints(np.zeros(0, np.int64), np.zeros(0, np.int64))

    monkeypatch.setattr("reid.report.sections.draw_ranked_lists", lists)
    monkeypatch.setattr("reid.report.sections.choose_points", chosen)
    options = ReportOptions(fmr=(0.05, 0.3), top=4, num_queries=5, map_points=9, map_people=2, confused=2, seed=3)
    one = {"Euclidean": rankings["Euclidean"]}
    write_report(tmp_path, one, data, features, records_of(one), options)
    expected = {"top": 4, "num_queries": 5, "seed": 3, "most": 9, "identities": 2, "map_seed": 3, "kind": "worst"}
    assert told == expected
    numbers = json.loads((tmp_path / "report.json").read_text())
    names = [row["threshold at"] for row in numbers["euclidean_open_set"]["open_set"]]
    assert names[1:-1] == ["FMR 5 %", "FMR 30 %"]
    assert numbers["euclidean_breakdown"]["turns"]["fmr"] == 0.3
    people = (tmp_path / "report/euclidean/confusion.png").read_bytes()
    assert people != (report[0] / "report/euclidean/confusion.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fmr": ()}, "fmr: got"),
        ({"fmr": (0.0,)}, "fmr: got"),
        ({"fmr": (1.5,)}, "fmr: got"),
        ({"top": 0}, "top: got 0"),
        ({"num_queries": 0}, "num_queries: got 0"),
        ({"map_points": 2}, "map_points: got 2"),
        ({"map_people": 0}, "map_people: got 0"),
        ({"confused": 1}, "confused: got 1"),
    ],
)
def test_bad_options_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ReportOptions(**options)


def test_a_ranking_without_a_record_is_refused(annotated: Path, tmp_path: Path) -> None:
    data, features, rankings = scored(annotated)
    for given, records in ((rankings, records_of(rankings)[:1]), ({}, [])):
        with pytest.raises(ValueError, match="records: got"):
            write_report(tmp_path, given, data, features, records)


def test_annotations_of_something_else_are_a_note(tiny_market: Path, tmp_path: Path) -> None:
    assert find_annotations(read_dataset("market1501", tiny_market)) == (None, "")
    shutil.copytree(tiny_market, tmp_path / "market")
    data = read_dataset("market1501", tmp_path / "market")
    for text, message in (("{", "not the annotations"), ('{"images": []}', "not in annotations.json")):
        (tmp_path / "market" / "annotations.json").write_text(text)
        found, note = find_annotations(data)
        assert found is None and message in note


def test_queries_without_distances_stay_out_of_what_needs_them(annotated: Path) -> None:
    data, _, rankings = scored(annotated)
    whole = rankings["Euclidean"]
    kept = np.array([1, 4, 7])
    part = dataclasses.replace(whole, distmat=whole.distmat[kept], queries=kept)
    subject = Subject("Euclidean", part, data, find_annotations(data)[0])
    assert [sample.path for sample in subject.query] == [data.query[number].path for number in kept]
    assert subject.nearest.own.shape == (3,) and len(subject.open_set([0.5])) == 3
    assert sum(row["num_valid"] for row in subject.breakdown()["camera"]) == whole.result.num_valid
    unknown = Subject("Euclidean", whole, dataclasses.replace(data, cameras_known=False))
    assert unknown.cameras is None and unknown.breakdown() == {} and unknown.turns(1.0) == []


def test_blocks_of_the_page(tmp_path: Path) -> None:
    text = table(["<a>", "b, c"], [["<i>", Bar(0.25)], ["&", Bar(None)], ["x", Bar(0.00012)]])
    assert "&lt;a&gt;" in text and "&lt;i&gt;" in text and "&amp;" in text and "b,<br>c" in text
    assert "--share: 25.0%" in text and ">25.0<" in text and "–" in text and ">0.012<" in text
    with pytest.raises(ValueError, match="rows: got 1 cells, allowed: 2"):
        table(["a", "b"], [["a"]])
    assert 'class="best"' not in text
    assert '<tr class="best"><td class="text">y</td>' in table(["a"], [["x"], ["y"]], best=1)
    assert code("a <b>") == "<pre>a &lt;b&gt;</pre>"
    (tmp_path / "a.jpg").write_bytes(b"123")
    assert 'src="data:image/jpeg;base64,MTIz"' in figure(tmp_path / "a.jpg", 'say "x"')
    assert "&quot;x&quot;" in figure(tmp_path / "a.jpg", 'say "x"')
    assert 'class="wide"' in figure(tmp_path / "a.jpg", "", wide=True)
    told = source({"protocol": "inductive", "command": "python <x>", "seed": 0, "checkpoint_sha256": None})
    assert "python &lt;x&gt;" in told and "seed 0" in told and "SHA" not in told
    assert page("<t>", "s", {"a": "b"}, "").count("&lt;t&gt;") == 2
