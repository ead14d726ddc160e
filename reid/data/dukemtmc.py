"""DukeMTMC-reID (Zheng et al., ICCV 2017), which takes over Market-1501's folders but not its names."""

import os
import re

from reid.data.base import ReIDDataset
from reid.data.market1501 import FOLDERS
from reid.data.named_folders import Layout, read_named_folders

LAYOUT = Layout(
    folders=FOLDERS,
    public_name="DukeMTMC-reID",
    name=re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)_f(?P<frame>\d+)\.(?:jpg|jpeg|png)", re.IGNORECASE),
    expected_name="<pid>_c<camera>_f<frame>.jpg, e.g. 0001_c2_f0046182.jpg",
)


def read_dukemtmc(root: str | os.PathLike[str]) -> ReIDDataset:
    """Reads a folder with bounding_box_train, query and bounding_box_test.

    Gallery people who are no query keep their own identities here; they are distractors all the same.

    Args:
        root: The folder itself, or its parent when that holds DukeMTMC-reID.

    Raises:
        FileNotFoundError: When a folder is missing; the message shows the expected layout.
        ValueError: When a split holds no usable image.
    """
    return read_named_folders(root, LAYOUT, "dukemtmc")
