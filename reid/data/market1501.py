"""Market-1501 (Zheng et al., ICCV 2015) and every folder that is laid out like it."""

import os
import re

from reid.data.base import ReIDDataset
from reid.data.named_folders import Layout, read_named_folders

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
LAYOUT = Layout(
    folders=FOLDERS,
    public_name="Market-1501-v15.09.15",
    name=re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)s\d+_(?P<frame>\d+)_\d+\.(?:jpg|jpeg|png)", re.IGNORECASE),
    expected_name="<pid>_c<camera>s<sequence>_<frame>_<box>.jpg, e.g. 0002_c1s1_000451_03.jpg",
)


def read_market1501(root: str | os.PathLike[str], source: str = "market1501") -> ReIDDataset:
    """Reads a folder with bounding_box_train, query and bounding_box_test.

    Names look like 0002_c1s1_000451_03.jpg: identity, camera and sequence, frame, number of the box. Cameras count
    from 1 in the names and from 0 in the samples. Identity -1 is junk, identity 0 a distractor.

    Args:
        root: The folder itself, or its parent when that holds Market-1501-v15.09.15.
        source: The name that the samples carry.

    Raises:
        FileNotFoundError: When a folder is missing; the message shows the expected layout.
        ValueError: When a split holds no usable image.
    """
    return read_named_folders(root, LAYOUT, source)
