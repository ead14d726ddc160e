"""MSMT17 (Wei et al., CVPR 2018): two folders of images and four lists."""

import os
import re
from pathlib import Path

from reid.data.base import ReIDDataset, Sample, Split

# The second release blurs the faces and renames the folders of images.
FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
PUBLIC_NAMES = ("MSMT17_V1", "MSMT17_V2", "MSMT17")
LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
_NAME = re.compile(r"\d+_\d+_(?P<camid>\d+)_[^_]+_(?P<frame>\d+)_\d+(?:_\w+)?\.(?:jpg|jpeg|png)", re.IGNORECASE)
_EXPECTED_LINE = "<person>/<person>_<image>_<camera>_<time>_<frame>_<box>.jpg <pid>, e.g. "
_EXAMPLE = "0000/0000_000_01_0303morning_0015_0.jpg 0"


def read_msmt17(root: str | os.PathLike[str], val: bool = False, combine_all: bool = False) -> ReIDDataset:
    """Reads the lists of either release.

    The lists number training and test people each from 0. Here they count from 1 (0 means a distractor elsewhere), the
    test people after the training people.

    Args:
        root: The folder with the lists, or its parent when that holds MSMT17_V1, MSMT17_V2 or MSMT17.
        val: Trains with list_val.txt too. Its images show the training people; published scores leave it out.
        combine_all: Trains with the test images too: nothing measured on this data says anything then.

    Raises:
        FileNotFoundError: When a folder, a list or a listed image is missing; the message shows the expected layout.
        ValueError: With file and line, when a list holds something else, and when one is empty.
    """
    folder, train_folder, test_folder = _find(Path(root))
    train = _read_list(folder / LISTS[0], train_folder, 1)
    extra = _read_list(folder / LISTS[1], train_folder, 1)
    first = 1 + max(sample.pid for sample in (*train, *extra))
    query = _read_list(folder / LISTS[2], test_folder, first)
    gallery = _read_list(folder / LISTS[3], test_folder, first)
    notes: tuple[str, ...] = ()
    if val or combine_all:
        train = train + extra
        notes += ("trained with list_val.txt too, unlike published scores",)
    if combine_all:
        train = train + query + gallery
        notes += ("trained with the test images: scores on this dataset mean nothing",)
    return ReIDDataset("msmt17", train, query, gallery, notes=notes)


def _find(root: Path) -> tuple[Path, Path, Path]:
    """Returns the folder of the lists, that of the training images and that of the test images."""
    for folder in (root, *(root / name for name in PUBLIC_NAMES)):
        if not any((folder / name).is_file() for name in LISTS):
            continue
        missing = [name for name in LISTS if not (folder / name).is_file()]
        for train, test in FOLDERS:
            if (folder / train).is_dir() and (folder / test).is_dir() and not missing:
                return folder, folder / train, folder / test
        absent = ", ".join(missing) or "the folders of images"
        raise FileNotFoundError(f"{folder}: missing {absent}; expected {_layout()}")
    state = "holds none of them" if root.is_dir() else "is no folder"
    raise FileNotFoundError(f"{root} {state}; expected {_layout()}")


def _layout() -> str:
    folders = " or ".join(" and ".join(pair) for pair in FOLDERS)
    return f"{', '.join(LISTS)} and the folders {folders}, in it or in its subfolder {' or '.join(PUBLIC_NAMES)}"


def _read_list(path: Path, images: Path, first_pid: int) -> Split:
    samples: Split = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, pid = line.strip().rpartition(" ")
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match is None or not pid.isdecimal() or int(match["camid"]) == 0:
            raise ValueError(f"{path}:{number}: got {line.strip()!r}; expected {_EXPECTED_LINE}{_EXAMPLE}")
        file = images / name.strip()
        samples.append(Sample(str(file), first_pid + int(pid), int(match["camid"]) - 1, int(match["frame"]), "msmt17"))
    if not samples:
        raise ValueError(f"{path}: lists no image; expected lines {_EXPECTED_LINE}{_EXAMPLE}")
    # Looking at each of 126,441 files would take longer than all the rest; whole folders are what goes missing.
    for sample in (samples[0], samples[-1]):
        if not Path(sample.path).is_file():
            raise FileNotFoundError(f"{sample.path}: missing, though {path} lists it; unpack the images there")
    return samples
