"""Scores and their protocols."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.report import Results, reid_records, reid_rows
from reid.records import PACKAGES, by_protocol, command_line, require_one_protocol, score_record


def record(protocol: str | None, **others: Any) -> dict[str, Any]:
    scores = {"Rank-1": 0.5, "mAP": 0.25, "mINP": 0.125}
    return {"scores": scores, "protocol": protocol, "dataset": "world", "distance": "Euclidean", "seed": 0} | others


def test_one_protocol_passes() -> None:
    assert require_one_protocol([record("inductive"), record("inductive")]) == "inductive"
    assert require_one_protocol(iter([record("transductive")])) == "transductive"


def test_two_protocols_are_refused() -> None:
    records = [record("inductive", method="a"), record("transductive", method="b", distance="Jaccard")]
    message = r"results: .*not comparable \(inductive: a world Euclidean; transductive: b world Jaccard\)"
    with pytest.raises(ValueError, match=message):
        require_one_protocol(records, "results")


@pytest.mark.parametrize("bad", [record(None), record("supervised"), {"scores": {"mAP": 1.0}}])
def test_a_score_without_protocol_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"got protocol .* allowed: inductive, transductive"):
        require_one_protocol([record("inductive"), bad])


def test_nothing_is_no_table() -> None:
    with pytest.raises(ValueError, match="got no score record"):
        require_one_protocol([])
    assert by_protocol([]) == {}


def test_groups_keep_their_order() -> None:
    names = [("transductive", 1), ("inductive", 2), ("transductive", 3), ("inductive", 4)]
    groups = by_protocol(record(protocol, name=name) for protocol, name in names)
    assert {protocol: [item["name"] for item in group] for protocol, group in groups.items()} == {
        "inductive": [2, 4],
        "transductive": [1, 3],
    }
    assert list(groups) == ["inductive", "transductive"]


def test_records_are_made_with_a_known_protocol() -> None:
    made = score_record({"mAP": 0.5}, protocol="transductive", dataset="world", split="test", seed=0)
    assert require_one_protocol([made]) == "transductive"
    with pytest.raises(ValueError, match="protocol: got 'best'"):
        score_record({"mAP": 0.5}, protocol="best", dataset="world", split="test", seed=0)


def test_the_report_has_a_table_for_each_protocol() -> None:
    scores = {name: [record("inductive"), record("transductive", distance="Jaccard")] for name in ("trained", "other")}
    groups = reid_records(Results(Path(), Path("sequences"), scores, {}, [], {}, 0.0))
    rows = [row for records in groups.values() for row in reid_rows(records)]
    assert [row[:3] for row in rows] == [
        ("trained", "Euclidean", "inductive"),
        ("other", "Euclidean", "inductive"),
        ("trained", "Jaccard", "transductive"),
        ("other", "Jaccard", "transductive"),
    ]
    with pytest.raises(ValueError, match="not comparable"):
        reid_rows([item for records in groups.values() for item in records])


def test_the_command_names_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setattr(sys, "argv", [str(root / "reid" / "calibrate.py"), "a b"])
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=None))
    assert command_line() == "python reid/calibrate.py 'a b'"
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=SimpleNamespace(name="reid.calibrate")))
    assert command_line() == "python -m reid.calibrate 'a b'"
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=SimpleNamespace(name="reid.data.__main__")))
    assert command_line() == "python -m reid.data 'a b'"
    spec = SimpleNamespace(name="modification_gan.quality")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=spec))
    assert command_line() == "python -m modification_gan.quality 'a b'"


def test_the_modules_of_every_package_are_named() -> None:
    root = Path(__file__).resolve().parents[2]
    packages = {path.parent.name for path in root.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert set(PACKAGES) == packages
