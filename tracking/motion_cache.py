"""The camera's motion over a whole sequence, estimated once and kept on disk."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tracking.array_cache import cache_path, digest, load_arrays, save_arrays
from tracking.camera_motion import MotionEstimator
from tracking.image_listing import Stamps, image_stamp
from tracking.images import read_frame

FORMAT = "1"  # part of the fingerprint: change it when motions are kept differently

Progress = Callable[[int], None]


def camera_motions(
    name: str,
    images: Mapping[int, Path],
    frames: Sequence[int],
    estimator: Callable[[], MotionEstimator],
    folder: str | os.PathLike[str],
    stamps: Stamps | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Returns how each frame lies over the one before, float64 (F, 2, 3), from the cache where it has it.

    The fingerprint covers the estimator's identity (method, constants, version of OpenCV) and name, size and
    modification time of every image, in the order of the frames. What the cache keeps is exact, so that a tracker
    returns the same with it and with the images.

    Args:
        name: The sequence.
        images: Frame to image file.
        frames: Ascending; the first one's motion is the identity.
        estimator: Makes an estimator that has seen nothing; a class of `tracking.camera_motion`.
        folder: The cache. A damaged file in it is computed anew, with a note on the error stream.
        stamps: Image to what identifies it, where that is known already; see `image_listing`.
        progress: Called with the number of frames since the last call, where images are looked at.

    Raises:
        ValueError: When a frame has no image, or one cannot be read and the cache has nothing.
    """
    missing = [frame for frame in frames if frame not in images]
    if missing:
        raise ValueError(f"{name}: frame {missing[0]} and {len(missing) - 1} more have no image to see the camera move")
    camera = estimator()
    marks = [f"{frame} {stamps[images[frame]] if stamps else image_stamp(images[frame])}" for frame in frames]
    key = digest([FORMAT, camera.identity, *marks])
    path = cache_path(folder, name, "motions", key)
    arrays = load_arrays(path, key, ("motions",))
    motions = None if arrays is None else arrays["motions"]
    if motions is None or motions.shape != (len(frames), 2, 3):
        motions = np.zeros((len(frames), 2, 3))
        for index, frame in enumerate(frames):
            motions[index] = camera.estimate(read_frame(images[frame]))
            if progress is not None:
                progress(1)
        save_arrays(path, key, {"motions": motions})
    return motions
