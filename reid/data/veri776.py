"""VeRi-776 (Liu et al., ECCV 2016): vehicles in 20 cameras."""

import os
import re

from reid.data.base import ReIDDataset
from reid.data.named_folders import Layout, read_named_folders

LAYOUT = Layout(
    folders={"train": "image_train", "query": "image_query", "gallery": "image_test"},
    public_name="VeRi",
    name=re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)_(?P<frame>\d+)_\d+\.(?:jpg|jpeg|png)", re.IGNORECASE),
    expected_name="<vehicle>_c<camera>_<frame>_<number>.jpg, e.g. 0001_c001_00016450_0.jpg",
)


def read_veri776(root: str | os.PathLike[str]) -> ReIDDataset:
    """Reads a folder with image_train, image_query and image_test; its XML files are not needed.

    The protocol is Market-1501's: image against image, those of the query's own vehicle and camera taken out.

    Args:
        root: The folder itself, or its parent when that holds VeRi.

    Raises:
        FileNotFoundError: When a folder is missing; the message shows the expected layout.
        ValueError: When a split holds no usable image.
    """
    return read_named_folders(root, LAYOUT, "veri776")
