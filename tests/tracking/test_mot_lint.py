"""The linter names every fault with file and line, agrees with what scoring accepts, and repairs copies."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.data.mot import read_seqinfo
from tracking.check_command import CheckConfig, check, fix
from tracking.evaluation import evaluate_mot, main
from tracking.mot_check import check_ground_truth, check_results
from tracking.mot_lint import kind_of, lint
from tracking.mot_repair import repair
from tracking.mot_text import read_mot_text

INFO = "[Sequence]\nname=A\nimDir=img1\nframeRate=30\nseqLength=10\nimWidth=640\nimHeight=480\nimExt=.jpg\n"
GT = [f"{frame},{identity},{10 * frame},{100 * identity},30,60,1,1,1" for frame in range(1, 11) for identity in (1, 2)]
DET = [f"{frame},-1,{10 * frame},100,30,60,0.9" for frame in range(1, 11)]
RESULT = [
    f"{frame},{identity},{10 * frame},{100 * identity},30,60,0.9,-1,-1,-1"
    for frame in range(1, 11)
    for identity in (1, 2)
]
ROWS = {"gt": GT, "det": DET, "results": RESULT}


def sequence(root: Path, info: str | None = INFO, **files: list[str]) -> Path:
    """Writes a sequence folder; `files` gives the lines of gt, det or results (beside the folder)."""
    folder = root / "gt" / "A"
    for kind, rows in files.items():
        path = root / "results" / "A.txt" if kind == "results" else folder / kind / f"{kind}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    if info is not None:
        (folder / "seqinfo.ini").write_text(info)
    return folder


def found(root: Path) -> list[str]:
    problems = check(CheckConfig(root / "gt"))
    if (root / "results").exists():
        problems += check(CheckConfig(root / "results", gt=root / "gt"))
    return [str(problem) for problem in problems]


def test_clean_files_have_no_problem(tmp_path: Path) -> None:
    sequence(tmp_path, gt=GT, det=DET, results=RESULT)
    assert found(tmp_path) == []
    assert [kind_of(Path(name)) for name in ("a/gt/gt.txt", "a/det/det.txt", "a/MOT16-02.txt")] == [
        "gt",
        "det",
        "results",
    ]


@pytest.mark.parametrize(
    ("kind", "line", "row", "words"),
    [
        ("gt", 3, "2,1,20,100,30,60,1,1", "8 columns; write 9 or 10 columns"),
        ("gt", 3, "2,1,20,100,30,60,1,1,1,1", "10 columns, most lines have 9"),
        ("gt", 3, "2,1,20,nan,30,60,1,1,1", "NaN or infinite"),
        ("gt", 3, "2.5,1,20,100,30,60,1,1,1", "frame 2.5 is no whole number"),
        ("gt", 3, "0,1,20,100,30,60,1,1,1", "frame 0 is below 1; frames count from 1: add 1 to every frame"),
        ("gt", 3, "-3,1,20,100,30,60,1,1,1", "frame -3 is below 1; number frames from 1"),
        ("gt", 3, "11,1,20,100,30,60,1,1,1", "frame 11 is beyond the 10 frames of the sequence"),
        ("gt", 3, "2,0,20,100,30,60,1,1,1", "identity 0 is below 1"),
        ("gt", 3, "2,1.5,20,100,30,60,1,1,1", "identity 1.5 is no whole number"),
        ("gt", 4, "2,1,20,100,30,60,1,1,1", "identity 1 is in frame 2 a second time"),
        ("gt", 3, "2,1,20,100,-30,60,1,1,1", "the box is -30 x 60, which is no area"),
        ("gt", 3, "2,1,20,100,30,60,1,14,1", "class 14 (column 8) is not in 1..13"),
        ("gt", 3, "2,1,20,100,30,60,5,1,1", "warning: flag 5 (column 7)"),
        ("gt", 3, "2,1,20,100,30,60,1,1,1.5", "warning: visibility 1.5 (column 9)"),
        ("gt", 3, "2,1,700,100,30,60,1,1,1", "warning: the box lies outside the image of 640 x 480"),
        ("gt", 3, "2;1;20;100;30;60;1;1;1", "error: columns are separated by semicolons"),
        ("gt", 3, "2 1 20 100 30 60 1 1 1", "warning: columns are separated by spaces"),
        ("gt", 3, "2\t1\t20\t100\t30\t60\t1\t1\t1", "warning: columns are separated by tabs"),
        ("gt", 3, "2,1 20,100,30,60,1,1,1", "warning: columns are separated by commas and spaces"),
        ("gt", 1, "frame,id,x,y,w,h,flag,class,vis", "column 1 is 'frame', not a number; write numbers only"),
        ("gt", 3, "2,1,,100,30,60,1,1,1", "column 3 is '', not a number"),
        ("det", 3, "3,-1,20,100,30,0,0.9", "warning: the box is 30 x 0"),
        ("det", 3, "3,-1,20,100,30,60", "6 columns; write 7 or 10 columns"),
        ("results", 3, "2,-1,20,100,30,60,1,-1,-1,-1", "identity -1 is negative"),
        ("results", 3, "2,1,20,100,30,60,1,3,-1,-1", "class 3 (column 8) is neither 1 nor -1"),
        ("results", 4, "2,1,20,100,30,60,1,-1,-1,-1", "identity 1 is in frame 2 a second time"),
        ("results", 3, "99,1,20,100,30,60,1,-1,-1,-1", "frame 99 is beyond the 10 frames"),
    ],
)
def test_every_fault_has_its_line(kind: str, line: int, row: str, words: str, tmp_path: Path) -> None:
    files = {"gt": GT, kind: [*ROWS[kind][: line - 1], row, *ROWS[kind][line:]]}
    sequence(tmp_path, **files)
    messages = found(tmp_path)
    assert len(messages) == 1, messages
    message = messages[0]
    assert f"{'A' if kind == 'results' else kind}.txt:{line}: " in message and words in message, message


def test_most_boxes_beyond_the_image_and_counts(tmp_path: Path) -> None:
    corners = [f"{frame},1,{300 + frame},200,{400 + frame},300,1,1,1" for frame in range(1, 11)]
    sequence(tmp_path, gt=corners, det=[])
    messages = found(tmp_path)
    assert any("gt.txt:1: warning: most boxes end beyond" in text and "(and 9 more rows)" in text for text in messages)
    assert any("det.txt: warning: no rows, which means no detections" in text for text in messages)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (None, "seqinfo.ini: error: missing"),
        ("[Other]\n", "seqinfo.ini: error: Sequence is missing"),
        ("[Sequence]\nseqLength=ten\n", "seqinfo.ini: error: invalid literal"),
        ("[Sequence]\nseqLength=0\n", "seqinfo.ini: error: seqLength is 0"),
    ],
)
def test_seqinfo(info: str | None, words: str, tmp_path: Path) -> None:
    sequence(tmp_path, info, gt=GT)
    messages = found(tmp_path)
    assert any(words in text for text in messages), messages
    (tmp_path / "alone").mkdir()
    assert any(words in str(problem) for problem in check(CheckConfig(tmp_path / "gt" / "A" / "gt" / "gt.txt")))


def test_missing_images_are_a_warning(tmp_path: Path) -> None:
    folder = sequence(tmp_path, gt=GT)
    (folder / "img1").mkdir()
    (folder / "img1" / "000001.jpg").touch()
    assert "1 of these frames have an image" in found(tmp_path)[0]


def corrupt(rows: list[str], kind: str, rng: np.random.Generator) -> list[str]:
    """Breaks a few things, some of which do no harm."""
    rows = list(rows)
    for _ in range(int(rng.integers(0, 3))):
        place, column = int(rng.integers(len(rows))), int(rng.integers(0, 8 if kind != "det" else 7))
        fields = rows[place].split(",")
        if column < len(fields):
            fields[column] = str(rng.choice(["-1", "0", "1", "2", "11", "1.5", "nan", "x", "", "inf", "1e3", "14"]))
        action = rng.integers(0, 8)
        if action == 0:
            fields = fields[: int(rng.integers(1, len(fields) + 1))]
        elif action == 1:
            fields = [*fields, "1"]
        rows[place] = str(rng.choice([",", ",", ",", " ", ", ", "\t"])).join(fields)
        if action == 2:
            rows.insert(place, rows[place])
        elif action == 3:
            rows.insert(place, "")
    return rows


def test_the_linter_agrees_with_what_scoring_accepts_and_repairs_the_rest(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    folder = sequence(tmp_path, gt=GT)
    info = read_seqinfo(folder)
    path, refused = tmp_path / "file.txt", 0
    for kind, reader in (("gt", check_ground_truth), ("results", check_results)):
        for _ in range(120):
            text = "\n".join(corrupt(ROWS[kind], kind, rng))
            path.write_text(text)
            errors = [problem for problem in lint(read_mot_text(path), kind, info) if problem.error]
            try:
                reader(path, info.length)
                accepted = True
            except ValueError:
                accepted = False
            assert accepted == (not errors), f"{text}\n{[str(error) for error in errors]}"
            refused += not accepted
            path.write_text(repair(read_mot_text(path), kind, info.length)[0])
            again = lint(read_mot_text(path), kind, info)
            assert not any(problem.error for problem in again), f"{text}\n{path.read_text()}\n{[str(p) for p in again]}"
            reader(path, info.length)
    assert 80 < refused < 220


def test_a_repaired_copy_is_scored_and_the_original_stays(tmp_path: Path) -> None:
    folder = sequence(tmp_path, None, gt=[row.replace(",", ";") for row in GT], det=DET)
    (folder / "img1").mkdir()
    cv2.imwrite(str(folder / "img1" / "000010.jpg"), np.zeros((480, 640, 3), np.uint8))
    (tmp_path / "results").mkdir()
    zero_based = [f"{int(row.split(',')[0]) - 1},{row.split(',', 1)[1]}" for row in RESULT]
    better = "0,1,999,999,30,60,0.1,-1,-1,-1"
    (tmp_path / "results" / "A.txt").write_text(
        "\n".join(["frame id", better, *zero_based, "5,3,1,1,0,9,1", "6,4,1,1,9,9"])
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    copy, notes = fix(CheckConfig(tmp_path / "gt"))
    assert copy == tmp_path / "gt-fixed" and any("written from the images" in note for note in notes)
    info = (copy / "A" / "seqinfo.ini").read_text()
    assert "seqLength=10\nimWidth=640\nimHeight=480\n" in info and (copy / "A" / "img1" / "000010.jpg").is_file()
    (copy / "A" / "img1").unlink()  # of ten frames one has an image, and only that would be scored
    results, notes = fix(CheckConfig(tmp_path / "results", gt=copy))
    text = " ".join(notes)
    for words in (
        "1 lines that are no rows",
        "added 1 to every frame",
        "1 less confident",
        "1 rows of boxes without area",
    ):
        assert words in text, text
    assert "filled the missing columns of 2 rows with 1, -1, -1, -1" in text
    scores = evaluate_mot(copy, results)["COMBINED"]
    assert scores["HOTA"] > 0.9 and scores["CLR_FP"] == 1 and scores["CLR_FN"] == 0
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(ValueError, match="which exists; remove it"):
        fix(CheckConfig(tmp_path / "results"))
    with pytest.raises(ValueError, match="inside what is copied"):
        fix(CheckConfig(tmp_path / "results", out=tmp_path / "results" / "new"))


def test_frames_from_0_that_would_not_fit_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "A.txt"
    path.write_text("0,1,1,1,9,9,1\n10,1,1,1,9,9,1\n")
    assert [row.split(",")[0] for row in repair(read_mot_text(path), "results", 10)[0].splitlines()] == ["10"]
    assert [row.split(",")[0] for row in repair(read_mot_text(path), "results", 11)[0].splitlines()] == ["1", "11"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequence(tmp_path, gt=GT, results=["1,1,5,5,0,9,1"])
    assert main(["check", str(tmp_path / "gt")]) == 0 and "0 errors, 0 warnings" in capsys.readouterr().out
    path = tmp_path / "results" / "A.txt"
    assert main(["check", str(path)]) == 1
    assert capsys.readouterr().out.startswith(
        f"{path}:1: error: the box is 0 x 9, which is no area; remove the row\n1 error,"
    )
    assert main(["check", str(path), "--fix"]) == 0
    assert f"the repaired copy is {tmp_path / 'results' / 'fixed' / 'A.txt'}" in capsys.readouterr().out
    assert main(["check", str(path), "--kind", "gt"]) == 1
    assert "write 9 or 10 columns" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "gt"), "--kind", "det"]) == 0
    for arguments, words in (
        ([str(tmp_path / "none")], "a file or a folder that exists"),
        ([str(path), "--out", str(tmp_path / "x")], "used with --fix only"),
        ([str(tmp_path / "results" / "fixed"), "--gt", str(tmp_path / "results")], "no sequence folder"),
    ):
        assert main(["check", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_help(run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, repository: Path) -> None:
    assert "check PATH" in run_python("-m", "tracking.evaluation", "--help").stdout.replace("\n", " ")
    assert "--fix" in run_python(repository / "tracking" / "evaluation.py", "check", "--help", cwd=tmp_path).stdout


@pytest.mark.real_data
def test_real_files_are_clean(shared_data: Path) -> None:
    for gt in ("mot16", "mot17-mini"):
        assert not any(problem.error for problem in check(CheckConfig(shared_data / gt / "train")))
    results = check(CheckConfig(shared_data / "tracker-results", gt=shared_data / "mot16" / "train"))
    assert [problem.error for problem in results] == [False] and "separated by spaces" in str(results[0])
