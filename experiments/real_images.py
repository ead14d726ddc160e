"""Real images in the place of generated ones: the yardsticks of the study of generated images."""

import re
import shutil
from pathlib import Path
from typing import Literal

from reid.data.generated import IMAGES, GeneratedImage, write_manifest

Kind = Literal["people", "others"]
KINDS: tuple[Kind, ...] = ("people", "others")
_NAME = re.compile(r"(\d+)_c\d+s\d+_.*\.jpg")


def write_real_images(kind: Kind, rendered: Path, few: Path, out: Path, name: str) -> int:
    """Writes a folder as a generator would, of images that a world has rendered.

    Args:
        kind: "people" takes those images of the training people that were cut from their set, and labels them with
            these people; "others" takes the training images of a world of other people, without labels.
        rendered: The whole world, or the other one.
        few: The world whose training set was cut.
        out: The folder; it gets its manifest last.
        name: Of the model in the manifest.

    Returns:
        How many images there are.

    Raises:
        ValueError: When there is none, or a file's name tells no person.
    """
    kept = {path.name for path in (few / "bounding_box_train").glob("*.jpg")} if kind == "people" else set()
    paths = [path for path in sorted((rendered / "bounding_box_train").glob("*.jpg")) if path.name not in kept]
    if not paths:
        raise ValueError(f"{rendered}: holds no training image beside those of {few}; render more a camera")
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    rows = []
    for number, path in enumerate(paths):
        found = _NAME.fullmatch(path.name)
        if found is None:
            raise ValueError(f"{path}: tells no person, allowed: PID_cCsS_FRAME_BOX.jpg")
        pid = int(found[1])
        # Other people's numbers mean others here.
        labels, group = ({pid: 1.0}, pid) if kind == "people" else (None, None)
        file = f"{IMAGES}/{number:06d}.jpg"
        shutil.copyfile(path, out / file)
        rows.append(GeneratedImage(file, name, group, labels, 0))
    write_manifest(out, rows)
    return len(rows)
