"""The manifest of a folder of generated images."""

from pathlib import Path

import pytest

from reid.data.base import Sample
from reid.data.generated import (
    COLUMNS,
    GeneratedImage,
    read_card,
    read_manifest,
    training_fingerprint,
    write_manifest,
)

IMAGES = [
    GeneratedImage("images/000000.jpg", "dcgan", None, None, 7),
    GeneratedImage("images/000001.jpg", "dcgan", 3, {12: 0.25, 5: 0.75}, 8),
    GeneratedImage("images/000002.jpg", "dcgan", 0, {pid: 1 / 700 for pid in range(700)}, 9),
]


def written(folder: Path, text: str) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "a.jpg").touch()
    (folder / "manifest.csv").write_text(",".join(COLUMNS) + "\n" + text, encoding="utf-8")
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for image in IMAGES:
        (tmp_path / image.file).touch()
    lines = write_manifest(tmp_path, IMAGES).read_text(encoding="utf-8").splitlines()
    assert lines[:3] == [
        "file,model,group,labels,seed",
        "images/000000.jpg,dcgan,,uniform,7",
        "images/000001.jpg,dcgan,3,5:0.75 12:0.25,8",
    ]
    found = read_manifest(tmp_path)
    assert found[:2] == IMAGES[:2]
    assert found[2].labels is not None and found[2].labels == pytest.approx(IMAGES[2].labels, rel=1e-5)
    assert sum(found[2].labels.values()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("images/a.jpg,m,,uniform\n", "line 2: got 4 cells"),
        ("../a.jpg,m,,uniform,1\n", "line 2: file"),
        ("images/a.jpg,,,uniform,1\n", "line 2: model"),
        ("images/a.jpg,m,-1,uniform,1\n", "line 2: group"),
        ("images/a.jpg,m,x,uniform,1\n", "line 2: invalid"),
        ("images/a.jpg,m,,uniform,-4\n", "line 2: seed"),
        ("images/a.jpg,m,,,1\n", "line 2: labels"),
        ("images/a.jpg,m,,5:0.7,1\n", "sum 0.7"),
        ("images/a.jpg,m,,5:nan 6:1,1\n", "sum nan"),
        ("images/a.jpg,m,,5:1.5 6:-0.5,1\n", "above 0"),
        ("images/a.jpg,m,,5:0.5 5:0.5,1\n", "'5:0.5'"),
        ("images/a.jpg,m,,five:1,1\n", "'five:1'"),
        ("images/a.jpg,m,,uniform,1\nimages/a.jpg,m,,uniform,1\n", "images/a.jpg 2 times"),
        ("", "no image"),
    ],
)
def test_unusable_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_manifest(written(tmp_path, row))
    assert str(tmp_path / "manifest.csv") in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="synthetic_generate"):
        read_manifest(tmp_path)
    folder = written(tmp_path, "images/b.jpg,m,,uniform,1\n")
    with pytest.raises(FileNotFoundError, match=r"line 2: .*b\.jpg"):
        read_manifest(folder)
    assert len(read_manifest(folder, check_files=False)) == 1
    (tmp_path / "manifest.csv").write_text("file,model\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: got the columns file,model"):
        read_manifest(folder)


def test_the_same_file_is_not_written_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        write_manifest(tmp_path, [IMAGES[0], IMAGES[0]])
    assert not (tmp_path / "manifest.csv").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x80", b"file,model\x00\n"])
def test_a_manifest_that_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.csv"):
        read_manifest(tmp_path)


def test_training_images_are_known_again(tmp_path: Path) -> None:
    def samples(folder: str, sizes: list[int]) -> list[Sample]:
        (tmp_path / folder).mkdir()
        paths = [tmp_path / folder / f"{number}.jpg" for number in range(len(sizes))]
        for path, size in zip(paths, sizes, strict=True):
            path.write_bytes(b"a" * size)
        return [Sample(str(path), 1, 0, 0, "") for path in paths]

    first = training_fingerprint(samples("a", [3, 5]))
    assert training_fingerprint(samples("b", [3, 5])[::-1]) == first and len(first) == 64
    assert first not in (training_fingerprint(samples("c", [3, 6])), training_fingerprint(samples("d", [3])))
    assert read_card(tmp_path) == {}
    for text in ("[]", "no"):
        (tmp_path / "card.json").write_text(text)
        with pytest.raises(ValueError, match=r"card\.json: no card"):
            read_card(tmp_path)
