"""Images of one's own: a sub-folder an identity, or a table."""

import csv
import os
import re
from pathlib import Path

from reid.data.base import ReIDDataset, Sample, Split
from reid.data.named_folders import IMAGE_SUFFIXES
from reid.data.splitting import query_and_gallery, split_identities

SPLITS = ("train", "query", "gallery")
_COLUMNS = ("path", "pid", "camid", "split")
_LAYOUT = (
    "the folders train, query and gallery, each with one sub-folder an identity, or one .csv file with the columns "
    "path, pid and, where known, camid and split (train, query, gallery)"
)
_NO_CAMERAS = "cameras are unknown: no gallery image is left out for its camera, so the scores flatter"


def read_folder(root: str | os.PathLike[str], test_fraction: float = 0.5, seed: int = 0) -> ReIDDataset:
    """Reads train/, query/ and gallery/ with a sub-folder an identity, or a table of images.

    Identities and cameras may have any names; they are numbered by their sorted names (numbers by their value),
    identities from 1 over all splits, cameras from 0. The same name is the same person everywhere. Paths of a table
    are relative to it. Without the column camid, and in folders, cameras are unknown.

    Args:
        root: The folder, or a .csv file, or a folder with one .csv file.
        test_fraction: Share of the identities for testing, for a table without the column split.
        seed: Chooses these identities.

    Raises:
        FileNotFoundError: When there is neither, or an image of the table is missing, with file and line.
        ValueError: With file and line, when a table's row is not usable; when a split is empty.
    """
    path = Path(root)
    if path.is_file() and path.suffix.lower() == ".csv":
        return _read_table(path, test_fraction, seed)
    if path.is_dir():
        if any((path / name).is_dir() for name in SPLITS):
            return _read_folders(path)
        tables = sorted(path.glob("*.csv"))
        if len(tables) == 1:
            return _read_table(tables[0], test_fraction, seed)
        found = f"holds {len(tables)} .csv files" if tables else "holds neither"
    else:
        found = "does not exist"
    raise FileNotFoundError(f"{path} {found}; expected {_LAYOUT}")


def _numbers(names: set[str], first: int) -> dict[str, int]:
    """Numbers names in their order: by value when all are whole numbers, else as text."""
    whole = all(re.fullmatch(r"-?\d+", name) for name in names)
    ordered = sorted(names, key=lambda name: (int(name), name)) if whole else sorted(names)
    return {name: number for number, name in enumerate(ordered, start=first)}


def _read_folders(root: Path) -> ReIDDataset:
    missing = [name for name in SPLITS if not (root / name).is_dir()]
    if missing:
        raise FileNotFoundError(f"{root}: missing {', '.join(missing)}; expected {_LAYOUT}")
    found: dict[str, list[tuple[Path, str]]] = {}
    skipped: list[str] = []
    for split in SPLITS:
        loose = sorted(entry.name for entry in (root / split).iterdir() if _is_image(entry))
        skipped += [f"{split}/{name}" for name in loose]
        people = sorted(entry for entry in (root / split).iterdir() if entry.is_dir())
        found[split] = [
            (file, person.name) for person in people for file in sorted(person.iterdir()) if _is_image(file)
        ]
        if not found[split]:
            raise ValueError(f"{root / split}: no usable image ({len(loose)} lie in no sub-folder); expected {_LAYOUT}")
    pids = _numbers({name for entries in found.values() for _, name in entries}, first=1)
    train, query, gallery = (
        [Sample(str(file), pids[name], 0, number, "folder") for number, (file, name) in enumerate(found[split])]
        for split in SPLITS
    )
    return ReIDDataset(
        "folder", train, query, gallery, skipped=tuple(skipped), cameras_known=False, notes=(_NO_CAMERAS,)
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _read_table(path: Path, test_fraction: float, seed: int) -> ReIDDataset:
    rows, columns = _rows(path)
    pids = _numbers({row["pid"] for row in rows}, first=1)
    known = "camid" in columns
    camids = _numbers({row["camid"] for row in rows}, first=0) if known else {}
    samples = [
        Sample(row["path"], pids[row["pid"]], camids[row["camid"]] if known else 0, number, "folder")
        for number, row in enumerate(rows)
    ]
    notes: tuple[str, ...] = () if known else (_NO_CAMERAS,)
    if "split" in columns:
        splits: dict[str, Split] = {name: [] for name in SPLITS}
        for row, sample in zip(rows, samples, strict=True):
            splits[row["split"]].append(sample)
        empty = [name for name in SPLITS if not splits[name]]
        if empty:
            raise ValueError(f"{path}: no row of the split {', '.join(empty)}; expected {_LAYOUT}")
        train, query, gallery = (splits[name] for name in SPLITS)
    else:
        train, test = split_identities(samples, test_fraction, seed)
        query, gallery = query_and_gallery(test)
        notes += (f"the table names no splits: {test_fraction:g} of the identities (seed {seed}) are for testing",)
    return ReIDDataset("folder", train, query, gallery, cameras_known=known, notes=notes)


def _rows(path: Path) -> tuple[list[dict[str, str]], set[str]]:
    """Returns the rows of a table with whole paths, and its columns."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        unknown = sorted(set(columns) - set(_COLUMNS))
        if unknown or not {"path", "pid"} <= set(columns):
            raise ValueError(f"{path}:1: got the columns {', '.join(columns)}; expected {_LAYOUT}")
        rows = []
        for row in reader:
            where = f"{path}:{reader.line_num}"
            values = {name: (row[name] or "").strip() for name in columns}
            if None in row or not all(values.values()):
                raise ValueError(f"{where}: expected {len(columns)} values, none of them empty: {', '.join(columns)}")
            if values.get("split", SPLITS[0]) not in SPLITS:
                raise ValueError(f"{where}: split: got {values['split']!r}, allowed: {', '.join(SPLITS)}")
            values["path"] = str(path.parent / values["path"])
            if not Path(values["path"]).is_file():
                raise FileNotFoundError(f"{where}: {values['path']} does not exist; paths are relative to the table")
            rows.append(values)
    if not rows:
        raise ValueError(f"{path}: no rows; expected {_LAYOUT}")
    return rows, set(columns)
