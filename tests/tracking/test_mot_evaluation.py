from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking.drawing import draw_sequence, draw_tracks, track_colour
from tracking.evaluation import evaluate_mot, main
from tracking.sequences import match_sequences
from tracking.tracks import Tracks


def sequence(root: Path, name: str, rows: list[tuple], length: int = 10) -> Path:
    folder = root / name
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={name}\nseqLength={length}\nimWidth=640\nimHeight=480\n")
    return folder


def walk(identity: int, top: int, first: int = 1, last: int = 10) -> list[tuple]:
    return [(frame, identity, 10 * frame, top, 30, 60, 1, 1, 1) for frame in range(first, last + 1)]


def as_result(rows: list[tuple], separator: str = ",") -> str:
    return "".join(separator.join(map(str, (*row[:6], 0.9, -1, -1, -1))) + "\n" for row in rows)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    results = tmp_path / "results"
    results.mkdir()
    return tmp_path / "gt", results


def test_a_perfect_result_scores_one(folders, capfd) -> None:
    gt, results = folders
    rows = walk(1, 10) + walk(2, 200)
    sequence(gt, "MOT16-05", rows)
    (results / "MOT16-05.txt").write_text(as_result(rows))
    evaluation = evaluate_mot(gt, results)
    for scores in (evaluation["sequences"]["MOT16-05"], evaluation["COMBINED"]):
        for name in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1"):
            assert scores[name] == pytest.approx(1)
        assert (scores["IDSW"], scores["MT"], scores["ML"], scores["Frag"]) == (0, 2, 0, 0)
    assert capfd.readouterr().out == ""


def test_one_identity_switch_computed_by_hand(folders) -> None:
    gt, results = folders
    sequence(gt, "A", walk(1, 10))
    (results / "A.txt").write_text(as_result(walk(1, 10, last=5) + walk(2, 10, first=6)))
    scores = evaluate_mot(gt, results)["COMBINED"]
    assert scores["IDSW"] == 1 and scores["MOTA"] == pytest.approx(0.9)
    # Every box is found; each of the 10 pairs has TPA 5, FNA 5, FPA 0.
    assert scores["AssA"] == pytest.approx(0.5) and scores["DetA"] == pytest.approx(1)
    assert scores["HOTA"] == pytest.approx(np.sqrt(0.5))
    assert scores["IDF1"] == pytest.approx(0.5)


def test_counts_are_summed_over_sequences(folders) -> None:
    gt, results = folders
    sequence(gt, "A", walk(1, 10))
    sequence(gt, "B", walk(1, 10) + walk(2, 200) + walk(3, 350))
    (results / "A.txt").write_text("")
    (results / "B.txt").write_text(as_result(walk(1, 10) + walk(2, 200) + walk(3, 350), separator=" "))
    evaluation = evaluate_mot(gt, results)
    assert evaluation["sequences"]["A"]["MOTA"] == 0 and evaluation["sequences"]["B"]["MOTA"] == 1
    assert evaluation["COMBINED"]["MOTA"] == pytest.approx(30 / 40)
    assert evaluation["COMBINED"]["ML"] == 1


def test_distractors_and_ignored_rows_do_not_count(folders) -> None:
    gt, results = folders
    static = [(*row[:6], 0, 7, 1) for row in walk(2, 200)]
    ignored = [(*row[:6], 0, 1, 1) for row in walk(3, 350)]
    sequence(gt, "A", walk(1, 10) + static + ignored)
    (results / "A.txt").write_text(as_result(walk(1, 10) + walk(2, 200)))
    scores = evaluate_mot(gt, results)["COMBINED"]
    assert scores["MOTA"] == 1 and scores["CLR_FN"] == 0


def test_mot15_has_ten_columns_and_no_classes(folders) -> None:
    gt, results = folders
    sequence(gt, "A", [(*row[:6], 1, -1, -1, -1) for row in walk(1, 10)])
    (results / "A.txt").write_text(as_result(walk(1, 10)))
    assert evaluate_mot(gt, results)["COMBINED"]["HOTA"] == pytest.approx(1)


def test_the_same_footage_is_found_by_its_number(folders) -> None:
    gt, results = folders
    sequence(gt, "MOT16-05", walk(1, 10))
    sequence(gt, "MOT16-09", walk(1, 10))
    for name in ("MOT17-05-FRCNN", "MOT17-05-SDP", "other"):
        (results / f"{name}.txt").write_text(as_result(walk(1, 10)))
    evaluation = evaluate_mot(gt, results)
    assert evaluation["matched"] == {"MOT17-05-FRCNN": "MOT16-05", "MOT17-05-SDP": "MOT16-05"}
    assert (evaluation["missing"], evaluation["extra"]) == (["MOT16-09"], ["other"])
    assert any("MOT17-05-FRCNN is scored against MOT16-05" in note for note in evaluation["notes"])
    assert evaluate_mot(gt, results, {"other": "MOT16-09"})["missing"] == []
    assert match_sequences(["MOT17-05-FRCNN"], ["MOT16-05", "MOT15-05"]) == {}
    with pytest.raises(ValueError, match="sequence_map: got ground truth 'nowhere'"):
        evaluate_mot(gt, results, {"other": "nowhere"})


def test_only_frames_with_an_image_count(folders) -> None:
    gt, results = folders
    folder = sequence(gt, "A", walk(1, 10, last=4), length=10)
    (folder / "img1").mkdir()
    for frame in range(1, 5):
        (folder / "img1" / f"{frame:06d}.jpg").touch()
    (results / "A.txt").write_text(as_result(walk(1, 10)))
    evaluation = evaluate_mot(gt, results)
    assert evaluation["COMBINED"]["MOTA"] == 1 and evaluation["frames"] == {"A": 4}
    assert any("4 of 10 frames" in note for note in evaluation["notes"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "1,1,5,5,9,9,1,-1,-1,-1\n1,1,6,6,9,9,1,-1,-1,-1\n",
            ["A.txt:2", "identity 1 is in frame 1", "second", "line 1"],
        ),
        ("11,1,5,5,9,9,1,-1,-1,-1\n", ["A.txt:1", "beyond the 10 frames"]),
        ("0,1,5,5,9,9,1,-1,-1,-1\n", ["A.txt:1", "number frames from 1"]),
        ("1,1,5,5,9,9,1,2,-1,-1\n", ["A.txt:1", "class (column 8)"]),
        ("1,1,5,5,9\n", ["A.txt:1", "5 columns"]),
    ],
)
def test_the_linter_names_line_and_remedy(folders, text: str, words: list[str]) -> None:
    gt, results = folders
    sequence(gt, "A", walk(1, 10))
    (results / "A.txt").write_text(text)
    with pytest.raises(ValueError) as error:
        evaluate_mot(gt, results)
    assert all(word in str(error.value) for word in words), error.value


def test_bad_ground_truth_and_folders(folders) -> None:
    gt, results = folders
    with pytest.raises(ValueError, match="not a folder"):
        evaluate_mot(gt, results)
    sequence(gt, "A", [*walk(1, 10), (3, 1, 5, 5, 9, 9, 1, 1, 1)])
    with pytest.raises(ValueError, match="no result files"):
        evaluate_mot(gt, results)
    (results / "A.txt").write_text("")
    with pytest.raises(ValueError, match=r"gt\.txt:11: identity 1 is in frame 3 a second time, after line 3"):
        evaluate_mot(gt, results)


def test_command_line(folders, capsys) -> None:
    gt, results = folders
    sequence(gt, "A", walk(1, 10))
    (results / "A.txt").write_text(as_result(walk(1, 10)))
    assert main(["--gt", str(gt), "--results", str(results)]) == 0
    assert "COMBINED" in capsys.readouterr().out
    (results / "A.txt").write_text("x\n")
    assert main(["--gt", str(gt), "--results", str(results)]) == 2
    assert "A.txt:1" in capsys.readouterr().err


@pytest.mark.real_data
def test_a_real_result_with_spaces(shared_data: Path, tmp_path: Path) -> None:
    text = (shared_data / "tracker-results" / "MOT16-05-deepsort-baseline.txt").read_text()
    (tmp_path / "MOT16-05.txt").write_text(text)
    scores = evaluate_mot(shared_data / "mot16" / "train", tmp_path)["sequences"]["MOT16-05"]
    assert 0.3 < scores["HOTA"] < 0.7 and scores["IDSW"] > 0


def test_drawing(folders) -> None:
    gt, results = folders
    folder = sequence(gt, "A", walk(1, 100))
    (folder / "img1").mkdir()
    for frame in range(1, 5):
        cv2.imwrite(str(folder / "img1" / f"{frame:06d}.jpg"), np.full((240, 320, 3), 40, np.uint8))
    (results / "A.txt").write_text(as_result(walk(1, 100) + walk(2, 20)))
    fourth, first = draw_sequence(folder, results / "A.txt", [4, 1])
    assert fourth.shape == (240, 320, 3) and fourth.dtype == np.uint8
    # The right edge of the box of identity 1 in frame 4 is at 40 + 30, and its trail began at 10 + 15 in frame 1.
    assert np.abs(fourth[130, 70].astype(int) - track_colour(1)).max() < 30
    assert np.abs(fourth[160, 30].astype(int) - track_colour(1)).max() < 30
    assert np.abs(first[130, 70].astype(int) - 40).max() < 10
    with pytest.raises(ValueError, match="frames: got 9"):
        draw_sequence(folder, results / "A.txt", [9])
    image = np.zeros((40, 40, 3), np.uint8)
    draw_tracks(image, Tracks(np.array([[-5, -5, 60, 60]]), np.array([3]), np.ones(1), np.zeros(1)))
    assert image.max() == 0
    assert len({track_colour(identity) for identity in range(200)}) > 190
