"""Embeddings for boxes of other libraries: supervision's Detections in and out, and Ultralytics' trackers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reid.embed_boxes import Embedded, embed_boxes

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]


def embed_supervision(embed: Embed, frame: np.ndarray, detections: Any, *, bgr: bool) -> Any:
    """Gives each box of `supervision.Detections` its embedding.

    Args:
        embed: An `Embedder`, or anything that maps uint8 RGB (H, W, 3) to (N, D).
        frame: uint8 (H, W, 3).
        detections: `supervision.Detections`; it is not changed.
        bgr: Whether the frame is BGR, as OpenCV and supervision's video reader give it, or RGB. There is no default,
            since the wrong one raises no error and spoils the embeddings.

    Returns:
        The same detections with data["embeddings"], float32 (N, D) with rows of norm 1, and data["quality"], float32
        (N,): the share of the box inside the frame, 0 and an embedding of zeros where nothing can be embedded.
        `tracking.detections.Detections.from_supervision` takes the embeddings from there.

    Raises:
        ValueError: When the frame is no image.
    """
    found = _embed(embed, frame, np.asarray(detections.xyxy), bgr)
    own = {"embeddings": found.embeddings, "quality": found.quality}
    return dataclasses.replace(detections, data={**detections.data, **own})


class UltralyticsEncoder:
    """What the trackers of Ultralytics call for the looks of boxes, with a network of this project or of others.

    For BoT-SORT (with `with_reid: False` in its YAML, or it would load or look for a network of its own):
    `model.add_callback("on_predict_batch_start", UltralyticsEncoder(embedder).attach)` before `model.track(...)`. A box
    that cannot be embedded gets zeros, which Ultralytics 8.4 takes for "no look known"; earlier releases divide by 0.

    Args:
        embed: An `Embedder`, or anything that maps uint8 RGB (H, W, 3) to (N, D).
    """

    def __init__(self, embed: Embed) -> None:
        self.embed = embed

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
        """Embeds boxes.

        Args:
            image: uint8 BGR (H, W, 3).
            boxes: (N, 4 or more), each centre x, centre y, width, height in pixels; what stands behind is not read.

        Returns:
            N embeddings float32 (D,) of norm 1.

        Raises:
            ValueError: When the image is none.
        """
        table = np.asarray(boxes, np.float64)
        if not len(table):
            return []
        half = table[:, 2:4] / 2
        xyxy = np.concatenate([table[:, :2] - half, table[:, :2] + half], axis=1)
        return list(_embed(self.embed, image, xyxy, bgr=True).embeddings)

    def attach(self, predictor: Any) -> None:
        """Puts itself into the trackers of a predictor of Ultralytics; once is enough, more often does no harm.

        Raises:
            ValueError: When one of them takes no embeddings (ByteTrack).
        """
        for tracker in getattr(predictor, "trackers", ()):
            if not hasattr(tracker, "encoder"):
                raise ValueError(
                    f"tracker: got {type(tracker).__name__}, allowed: one with an encoder, as BoT-SORT has"
                )
            tracker.encoder = self
            tracker.args.with_reid = True
            tracker.args.model = "external"  # with "auto" the encoder would be given no image


def _embed(embed: Embed, frame: np.ndarray, xyxy: np.ndarray, bgr: bool) -> Embedded:
    if frame.ndim == 3 and bgr:
        frame = frame[..., ::-1]
    (found,) = embed_boxes(embed, [frame], [xyxy])
    if found.embeddings.shape[1] == 0:
        # Nothing to embed: the size is asked for with an empty picture, so that tables of frames fit each other.
        size = embed([np.zeros((32, 16, 3), np.uint8)]).shape[1]
        found = dataclasses.replace(found, embeddings=np.zeros((len(xyxy), size), np.float32))
    return found
