from pathlib import Path

import numpy as np
import pytest

from reid.data import mot


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_ground_truth_of_nine_and_ten_columns(tmp_path: Path) -> None:
    modern = mot.read_ground_truth(write(tmp_path / "a.txt", "\n1,2,10,20,30,40,1,7,0.5\n2,2,11,21,31,41,0,1,1\n"))
    assert modern.class_id.tolist() == [7, 1] and modern.flag.tolist() == [1, 0]
    assert modern.line.tolist() == [2, 3]
    assert modern.xywh[0].tolist() == [10, 20, 30, 40] and modern.visibility.tolist() == [0.5, 1]
    old = mot.read_ground_truth(write(tmp_path / "b.txt", "1,2,10,20,30,40,1,3.5,4.5,-1\n"))
    assert old.class_id.tolist() == [1] and old.visibility.tolist() == [1]


@pytest.mark.parametrize("columns", [7, 10])
def test_detections_skip_and_count_boxes_without_area(tmp_path: Path, columns: int) -> None:
    tail = ",-1,-1,-1" if columns == 10 else ""
    text = f"3,-1,1,2,30,40,0.9{tail}\n1,-1,1,2,0,40,0.8{tail}\n1,-1,1,2,5,-4,0.8{tail}\n1,-1,5,6,7,8,0.7{tail}\n"
    detections = mot.read_detections(write(tmp_path / "det.txt", text))
    assert detections.frame.tolist() == [3, 1] and detections.skipped == 2
    assert detections.xywh[1].tolist() == [5, 6, 7, 8] and detections.confidence.tolist() == [0.9, 0.7]


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        ("read_ground_truth", "1,1,1,1,5,5,1,1,1\n1,2,1,1,5,5,1,1\n", ["t.txt:2", "8 columns", "9 or 10"]),
        ("read_ground_truth", "1,1,1,1,5,5,1,1,1\n\n2,1,1,1,0,5,1,1,1\n", ["t.txt:3", "no area"]),
        ("read_ground_truth", "1,0,1,1,5,5,1,1,1\n", ["t.txt:1", "identity is below 1"]),
        ("read_detections", "frame,id,x,y,w,h,c\n1,-1,1,1,5,5,1\n", ["t.txt:1", "'frame'", "header"]),
        ("read_detections", "1,-1,1,1,5,5,1\n1,-1,1,nan,5,5,1\n", ["t.txt:2", "NaN"]),
        ("read_detections", "0,-1,1,1,5,5,1\n", ["t.txt:1", "below 1", "from 1"]),
        ("read_detections", "1,-1,1,,5,5,1\n", ["t.txt:1", "column 4"]),
        ("read_detections", "1,-1,10, ,30,60,0.9,1\n", ["t.txt:1", "column 4"]),
        ("read_detections", "1,-1,1,1,5,5,1\n1,-1,1,1,5,5,1,-1,-1,-1\n", ["t.txt:2", "10 columns", "7"]),
        ("read_results", "1.5,1,1,1,5,5,1,-1,-1,-1\n", ["t.txt:1", "whole number"]),
        ("read_results", "1,-1,1,1,5,5,1,-1,-1,-1\n", ["t.txt:1", "negative"]),
        ("read_results", "1;1;1;1;5;5;1\n", ["t.txt:1", "not a number"]),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path: Path, reader: str, text: str, words: list[str]) -> None:
    path = write(tmp_path / "t.txt", text)
    with pytest.raises(ValueError) as error:
        getattr(mot, reader)(path)
    assert all(word in str(error.value) for word in words), error.value


def test_results_round_trip_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.txt"
    xywh = np.array([[1.25, 2.5, 30.0, 40.0], [-3.0, 2.0, 10.0, 20.0]])
    mot.write_results(path, np.array([1, 2]), np.array([7, 7]), xywh, np.array([0.5, 1.0]))
    assert path.read_text().splitlines()[0] == "1,7,1.25,2.50,30.00,40.00,0.5000,-1,-1,-1"
    rows = mot.read_results(path)
    np.testing.assert_array_equal(rows.xywh, xywh)
    spaced = mot.read_results(write(tmp_path / "s.txt", path.read_text().replace(",", " ").replace("\n", " \n")))
    np.testing.assert_array_equal(spaced.xywh, xywh)
    assert len(mot.read_results(write(tmp_path / "empty.txt", "")).frame) == 0


def test_a_hundred_thousand_lines_are_read(tmp_path: Path) -> None:
    lines = [f"{i // 50 + 1},{i % 50 + 1},1.5,2,3,4,1,-1,-1,-1\n" for i in range(100_000)]
    rows = mot.read_results(write(tmp_path / "long.txt", "".join(lines)))
    assert len(rows.frame) == 100_000 and rows.line[-1] == 100_000


def test_seqinfo(tmp_path: Path) -> None:
    write(tmp_path / "seqinfo.ini", "[Sequence]\nname=A\nseqLength=7\nframeRate=14\nimWidth=64\nimExt=.png\n")
    info = mot.read_seqinfo(tmp_path)
    assert (info.length, info.frame_rate, info.image_extension, info.image_dir) == (7, 14, ".png", "img1")
    write(tmp_path / "seqinfo.ini", "[Sequence]\nname=A\n")
    with pytest.raises(ValueError, match=r"(?i)seqlength is missing"):
        mot.read_seqinfo(tmp_path)
    with pytest.raises(ValueError, match="missing"):
        mot.read_seqinfo(tmp_path / "nowhere")


def features(rows: int, size: int, unit: bool = True) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(rows, size))
    return values / np.linalg.norm(values, axis=1, keepdims=True) if unit else values


def detection_rows(rows: int, columns: int) -> np.ndarray:
    table = np.full((rows, columns), -1.0)
    table[:, 0] = np.arange(rows) // 2 + 1
    table[:, 2:6] = [10, 20, 30, 40]
    table[:, 6] = 0.5
    return table


@pytest.mark.parametrize("columns", [7, 10])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("size", [128, 131])
def test_npy_forms_are_told_apart(tmp_path: Path, columns: int, unit: bool, size: int) -> None:
    appearance = features(9, size, unit)
    np.save(tmp_path / "a.npy", np.hstack([detection_rows(9, columns), appearance]))
    if columns == 7 and size == 131 and not unit:
        # 7 + 131 numbers are 10 + 128 as well, and nothing in the data decides: read as 10 it would be shifted.
        with pytest.raises(ValueError, match="cannot tell 7"):
            mot.read_deepsort_npy(tmp_path / "a.npy")
        return
    detections, found = mot.read_deepsort_npy(tmp_path / "a.npy")
    np.testing.assert_allclose(found, appearance, rtol=1e-6)
    assert detections.frame.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5]


def test_npy_ambiguity_is_refused_and_can_be_settled(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.hstack([detection_rows(5, 7), features(5, 100, unit=False)]))
    with pytest.raises(ValueError, match=r"a\.npy.*detection_columns=7 or 10"):
        mot.read_deepsort_npy(path)
    assert mot.read_deepsort_npy(path, detection_columns=7)[1].shape == (5, 100)
    assert mot.read_deepsort_npy(path, detection_columns=10)[1].shape == (5, 97)
    with pytest.raises(ValueError, match="allowed: 7, 10"):
        mot.read_deepsort_npy(path, detection_columns=8)


def test_npy_errors_and_skipped_rows(tmp_path: Path) -> None:
    table = np.hstack([detection_rows(4, 10), features(4, 16)])
    table[1, 4] = 0
    np.save(tmp_path / "zero.npy", table)
    detections, found = mot.read_deepsort_npy(tmp_path / "zero.npy")
    assert detections.skipped == 1 and len(found) == 3
    table[2, 12] = np.nan
    np.save(tmp_path / "nan.npy", table)
    with pytest.raises(ValueError, match=r"nan\.npy: row 3: a value is NaN"):
        mot.read_deepsort_npy(tmp_path / "nan.npy", detection_columns=10)
    (tmp_path / "text.npy").write_text("no")
    with pytest.raises(ValueError, match="not a readable"):
        mot.read_deepsort_npy(tmp_path / "text.npy")


@pytest.mark.real_data
def test_real_files(shared_data: Path) -> None:
    detections, found = mot.read_deepsort_npy(shared_data / "deepsort-features" / "MOT17-05-FRCNN.npy")
    assert found.shape == (3848, 128) and len(detections.frame) == 3848
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    spaced = mot.read_results(shared_data / "tracker-results" / "MOT16-05-deepsort-baseline.txt")
    assert spaced.xywh[0].tolist() == [121, 153, 82, 182]
