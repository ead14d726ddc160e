"""Archives of results, as the benchmarks' servers take them."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from reid.files import atomic_path

DATE = (1980, 1, 1, 0, 0, 0)  # of every file inside, so that equal results make equal archives


def write_submission(results: Mapping[str, Path], path: str | os.PathLike[str], folder: str = "") -> None:
    """Writes a zip with one <sequence>.txt a sequence: frame, id, left, top, width, height, confidence, -1, -1, -1.

    MOTChallenge wants the files in the archive's root, named exactly as the sequences; DanceTrack in a folder
    "tracker".

    Args:
        results: Name of a sequence to its result file; one file may serve several sequences.
        path: The archive.
        folder: Folder inside it, "" for the root.

    Raises:
        ValueError: When there is nothing to archive.
    """
    if not results:
        raise ValueError(f"{path}: no results to archive")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, result in sorted(results.items()):
            entry = zipfile.ZipInfo(f"{folder}/{name}.txt" if folder else f"{name}.txt", DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, result.read_bytes())
