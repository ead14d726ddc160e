"""Arrays kept on disk under a fingerprint: whole or absent, and made anew where a file is damaged."""

import hashlib
import os
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from reid.files import atomic_path


def digest(parts: Iterable[str | bytes]) -> str:
    """Returns the SHA-256 over parts, in their order, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "big"))  # so that no two lists of parts run together
        sha.update(data)
    return sha.hexdigest()


def cache_path(folder: str | os.PathLike[str], name: str, kind: str, key: str) -> Path:
    """Returns where the arrays of a sequence under a fingerprint stand."""
    return Path(folder) / f"{name}-{kind}-{key[:16]}.npz"


def load_arrays(path: Path, key: str, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """Returns the named arrays, all of one length, or None where there is no usable file.

    A damaged file is named on the error stream; the caller computes the arrays anew and writes over it.

    Args:
        path: From `cache_path`.
        key: The fingerprint that the file must carry.
        names: The arrays.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["fingerprint"]) != key:
                raise ValueError("it carries another fingerprint")
            arrays = {name: np.asarray(file[name]) for name in names}
            if len({len(array) for array in arrays.values()}) > 1:
                raise ValueError("its arrays differ in length")
            return arrays
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        print(f"note: {path} is damaged ({error}) and is made anew", file=sys.stderr)
        return None


def save_arrays(path: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays and their fingerprint, whole or not at all; missing folders are made."""
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, fingerprint=np.array(key), **arrays)
