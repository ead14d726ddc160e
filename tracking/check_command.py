"""`python -m tracking.evaluation check PATH`: everything that is wrong in MOT files, and a repaired copy."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reid.data.mot import SequenceInfo, read_seqinfo
from reid.files import write_text
from tracking.images import read_frame
from tracking.mot_lint import count_lines, kind_of, lint
from tracking.mot_repair import repair
from tracking.mot_text import Kind, Problem, read_mot_text
from tracking.sequences import find_sequences, match_sequences, read_sequence

IMAGES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class CheckConfig:
    """Reports everything that is wrong in MOT files, with file, line and remedy.

    Exit status: 0 without errors, 1 with errors (with --fix: errors that the copy still has), 2 for a wrong call.

    Attributes:
        path: A file, a sequence folder, a folder of those, or a folder of results.
        kind: What a file is; "auto" goes by its place: gt/gt.txt, det/det.txt, else results.
        gt: Folder of sequence folders, whose lengths and image sizes the results are checked by.
        fix: Writes a repaired copy; the original stays as it is.
        out: Where the copy goes; left out, beside the original: FOLDER-fixed, or fixed/FILE.
    """

    path: Annotated[Path, tyro.conf.Positional]
    kind: Literal["auto", "gt", "det", "results"] = "auto"
    gt: Path | None = None
    fix: bool = False
    out: Path | None = None


@dataclass(frozen=True)
class Target:
    """A file to check: what it is, its sequence where known, and its sequence's folder where it lies in one."""

    path: Path
    kind: Kind
    info: SequenceInfo | None
    folder: Path | None = None


def check(config: CheckConfig) -> list[Problem]:
    """Returns all problems below a path; see `CheckConfig`.

    Raises:
        ValueError: When there is nothing to check, or options contradict each other.
        OSError: When a file cannot be read.
    """
    targets, folders = _find(config)
    problems = [problem for folder in folders for problem in _check_sequence(folder)]
    for target in targets:
        problems.extend(lint(read_mot_text(target.path), target.kind, target.info))
    return problems


def fix(config: CheckConfig) -> tuple[Path, list[str]]:
    """Writes a repaired copy of everything that `check` looks at.

    Image folders are linked, not copied. A missing or broken seqinfo.ini is written anew, from the images and the
    last frame.

    Returns:
        Where the copy is, and what was done, in words.

    Raises:
        ValueError: When there is nothing to check, or the copy's place is taken.
    """
    targets, folders = _find(config)
    is_file = config.path.is_file()
    beside = config.path.resolve().parent
    out = config.out or (
        beside / "fixed" / config.path.name if is_file else beside / f"{config.path.resolve().name}-fixed"
    )
    if out.exists():
        raise ValueError(f"out: got {out}, which exists; remove it or give another --out")
    root = config.path if is_file else config.path.resolve()
    if not is_file and root in out.resolve().parents:
        raise ValueError(f"out: got {out}, inside what is copied; give a folder beside it")
    notes: list[str] = []
    last_frame: dict[Path, int] = {}
    for target in targets:
        length = None if target.info is None else target.info.length
        text, done = repair(read_mot_text(target.path), target.kind, length)
        copy = out if is_file else out / target.path.resolve().relative_to(root)
        write_text(copy, text)
        notes += [f"{copy}: {what}" for what in done]
        if target.folder is not None:
            frames = [int(row.split(",", 1)[0]) for row in text.splitlines()]
            last_frame[target.folder] = max([last_frame.get(target.folder, 0), *frames])
    if not is_file:
        for folder in folders:
            notes += _copy_sequence(folder, out / folder.resolve().relative_to(root), last_frame.get(folder, 0))
    return out, notes


def _find(config: CheckConfig) -> tuple[list[Target], list[Path]]:
    """Returns the files to check, and the sequence folders among them."""
    path = config.path
    if path.is_file():
        kind: Kind = kind_of(path) if config.kind == "auto" else config.kind
        folder = path.resolve().parent.parent
        within = kind != "results" and path.parent.name in ("gt", "det")
        info = _info(folder) if within else None
        if kind == "results":
            info = _results_info([path], config.gt).get(path.stem)
        return [Target(path, kind, info, folder if within else None)], [folder] if within else []
    if not path.is_dir():
        raise ValueError(f"path: got {path}, allowed: a file or a folder that exists")
    folders = [path] if _is_sequence(path) else sorted(child for child in path.iterdir() if _is_sequence(child))
    results = [] if _is_sequence(path) else sorted(path.glob("*.txt"))
    targets = []
    for folder in folders:
        files: dict[Kind, Path] = {"gt": folder / "gt" / "gt.txt", "det": folder / "det" / "det.txt"}
        info = _info(folder)
        targets += [Target(file, kind, info, folder) for kind, file in files.items() if file.is_file()]
    known = _results_info(results, config.gt)
    targets += [Target(file, "results", known.get(file.stem)) for file in results]
    if config.kind != "auto":
        targets = [target for target in targets if target.kind == config.kind]
    if not targets and not folders:
        raise ValueError(f"{path}: nothing to check; give a file, sequence folders, or a folder with <sequence>.txt")
    return targets, folders


def _is_sequence(folder: Path) -> bool:
    return folder.is_dir() and any(
        (folder / name).exists() for name in ("seqinfo.ini", "gt/gt.txt", "det/det.txt", "img1")
    )


def _info(folder: Path) -> SequenceInfo | None:
    try:
        return read_seqinfo(folder)
    except ValueError:
        return None  # reported by _check_sequence


def _results_info(results: list[Path], gt: Path | None) -> Mapping[str, SequenceInfo]:
    if gt is None:
        return {}
    ground_truth = find_sequences(gt)
    matched = match_sequences([path.stem for path in results], ground_truth)
    found = {name: _info(ground_truth[target]) for name, target in matched.items()}
    return {name: info for name, info in found.items() if info is not None}


def _check_sequence(folder: Path) -> list[Problem]:
    """Returns what is wrong with a sequence's seqinfo.ini and its images."""
    path = folder / "seqinfo.ini"
    try:
        sequence = read_sequence(folder)
    except ValueError as error:
        what, _, advice = str(error).removeprefix(f"{path}: ").partition("; ")
        return [Problem(path, 0, what, advice)]
    info, images = sequence.info, len(sequence.images)
    problems = []
    if info.length < 1:
        problems.append(Problem(path, 0, f"seqLength is {info.length}", "write the number of frames"))
    if 0 < images < info.length:
        what = f"seqLength is {info.length}, and {images} of these frames have an image in {info.image_dir}"
        problems.append(Problem(path, 0, what, "only those will be scored; copy the missing images", error=False))
    return problems


def _copy_sequence(folder: Path, copy: Path, last_frame: int) -> list[str]:
    """Writes seqinfo.ini into a copy and links its images; returns what was done."""
    notes = []
    info = _info(folder)
    if info is not None and info.length >= 1:
        write_text(copy / "seqinfo.ini", (folder / "seqinfo.ini").read_text(encoding="utf-8-sig"))
    else:
        write_text(copy / "seqinfo.ini", _guessed_seqinfo(folder, last_frame))
        notes.append(f"{copy / 'seqinfo.ini'}: written from the images and the last frame; check the frame rate")
    images = folder / ("img1" if info is None else info.image_dir)
    if images.is_dir():
        try:
            os.symlink(images.resolve(), copy / images.name, target_is_directory=True)
        except OSError as error:  # where the system or the disk has no links
            notes.append(f"{copy}: {images.name} is not linked ({error.strerror}); copy it there")
    return notes


def _guessed_seqinfo(folder: Path, last_frame: int) -> str:
    images = sorted(
        path for path in (folder / "img1").glob("*") if path.suffix.lower() in IMAGES and path.stem.isdigit()
    )
    height, width = read_frame(images[0]).shape[:2] if images else (0, 0)
    length = max([last_frame, *(int(path.stem) for path in images)])
    extension = images[0].suffix if images else ".jpg"
    lines = [f"name={folder.resolve().name}", "imDir=img1", "frameRate=30", f"seqLength={length}"]
    lines += [f"imWidth={width}", f"imHeight={height}", f"imExt={extension}"]
    return "\n".join(["[Sequence]", *lines, ""])


def main(arguments: list[str]) -> int:
    """Runs the command line; returns the exit status."""
    config = tyro.cli(CheckConfig, args=arguments, prog="python -m tracking.evaluation check")
    try:
        if config.out is not None and not config.fix:
            raise ValueError("--out: used with --fix only")
        problems = check(config)
        for problem in problems:
            print(problem)
        print(count_lines(problems))
        if config.fix:
            out, notes = fix(config)
            print("\n".join([*notes, f"the repaired copy is {out}"]))
            problems = check(CheckConfig(out, config.kind, config.gt))
            for problem in problems:
                print(problem)
            print(f"there: {count_lines(problems)}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if any(problem.error for problem in problems) else 0
