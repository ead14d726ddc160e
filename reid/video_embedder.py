"""Tracklets in, L2-normalised embeddings out; and how well they find each other."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reid.checkpoint import Card, load_checkpoint
from reid.data.base import Sample
from reid.data.images import Preprocessing
from reid.data.tracklet_images import load_frames
from reid.data.tracklets import Tracklet, VideoDataset, choose_frames, ranking_ids
from reid.distances import euclidean_distances
from reid.histogram import ColourHistogram
from reid.metrics import RankResult, evaluate_rank
from reid.models.video import build_video_model

CARD_PREFIX = "video/"  # of the backbone in a card, so that no loader of image models takes it for one
_CHUNK = 256  # tracklets whose frames are in memory at a time; a file that several of them share is decoded once
# Maps frames uint8 (N, T, 3, H, W) to float (N, D).
ClipFunction = Callable[[np.ndarray], np.ndarray]


class VideoEmbedder:
    """Turns tracklets into embeddings of norm 1, from T evenly spaced frames of each.

    Args:
        embed: Maps clips to vectors.
        preprocessing: Height and width of the frames.
        frames: T.
        crop_factor: Scales each box before it is cut, as in training.
        batch_size: Tracklets a forward pass.
    """

    def __init__(
        self, embed: ClipFunction, preprocessing: Preprocessing, frames: int, crop_factor: float, batch_size: int = 16
    ) -> None:
        self.embed = embed
        self.preprocessing = preprocessing
        self.frames = frames
        self.crop_factor = crop_factor
        self.batch_size = batch_size

    @classmethod
    def from_model(
        cls, model: nn.Module, preprocessing: Preprocessing, frames: int, crop_factor: float, device: torch.device
    ) -> "VideoEmbedder":
        """Embeds by a model, which is put into evaluation mode for each pass and left as it was."""
        return cls(_ModelClips(model.to(device), preprocessing, device), preprocessing, frames, crop_factor)

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], device: str | torch.device = "cpu") -> "VideoEmbedder":
        """Embeds by a checkpoint of `video_reid_train.py`, with the frames and the crop factor of its training.

        Raises:
            FileNotFoundError: When the file is missing.
            ValueError: When the file is damaged or holds no video model.
        """
        model, card = load_video_model(path)
        frames, factor = int(card.config["frames"]), float(card.config["crop_factor"])
        return cls.from_model(model, card.preprocessing, frames, factor, torch.device(device))

    @classmethod
    def from_histogram(cls, frames: int, crop_factor: float) -> "VideoEmbedder":
        """Embeds by the mean of the frames' colour histograms: a baseline that learns nothing."""
        histogram = ColourHistogram()

        def embed(clips: np.ndarray) -> np.ndarray:
            images = list(np.ascontiguousarray(clips.transpose(0, 1, 3, 4, 2)).reshape(-1, *clips.shape[3:], 3))
            return histogram(images).reshape(*clips.shape[:2], -1).mean(axis=1)

        return cls(embed, Preprocessing(128, 64), frames, crop_factor)

    def __call__(self, tracklets: Sequence[Tracklet]) -> np.ndarray:
        """Returns float32 (N, D), rows of norm 1.

        Raises:
            OSError: When a file is missing.
            ValueError: When a file is no image; the message names it.
        """
        rows = []
        for start in range(0, len(tracklets), _CHUNK):
            chunk = tracklets[start : start + _CHUNK]
            images = load_frames(self._chosen(chunk), self.preprocessing, self.crop_factor)
            clips = images.reshape(len(chunk), self.frames, *images.shape[1:])
            rows += [self.embed(clips[i : i + self.batch_size]) for i in range(0, len(clips), self.batch_size)]
        found = np.concatenate(rows).astype(np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

    def _chosen(self, tracklets: Sequence[Tracklet]) -> list[Sample]:
        places = [choose_frames(len(tracklet.frames), self.frames) for tracklet in tracklets]
        return [one.frames[place] for one, chosen in zip(tracklets, places, strict=True) for place in chosen]


class _ModelClips:
    def __init__(self, model: nn.Module, preprocessing: Preprocessing, device: torch.device) -> None:
        self.model = model
        self.preprocessing = preprocessing
        self.device = device

    @torch.inference_mode()
    def __call__(self, clips: np.ndarray) -> np.ndarray:
        was_training = self.model.training
        self.model.eval()
        normalised = self.preprocessing.normalise(clips.reshape(-1, *clips.shape[2:])).reshape(clips.shape)
        output = self.model(torch.from_numpy(normalised).to(self.device))
        self.model.train(was_training)
        return output.embeddings.float().cpu().numpy()


def score_tracklets(embed: VideoEmbedder, data: VideoDataset) -> RankResult:
    """Scores tracklet against tracklet by Euclidean distance and the Market-1501 protocol.

    Raises:
        OSError: When a file is missing.
        ValueError: When a file is no image, or no query has a match.
    """
    place = {tracklet: index for index, tracklet in enumerate(dict.fromkeys([*data.gallery, *data.query]))}
    features = embed(list(place))
    query = features[[place[tracklet] for tracklet in data.query]]
    gallery = features[[place[tracklet] for tracklet in data.gallery]]
    q_pids, g_pids, q_camids, g_camids = ranking_ids(data)
    return evaluate_rank(euclidean_distances(query, gallery), q_pids, g_pids, q_camids, g_camids)


def load_video_model(path: str | os.PathLike[str]) -> tuple[nn.Module, Card]:
    """Builds the video model of a checkpoint and loads its weights, on the CPU and in evaluation mode.

    Raises:
        FileNotFoundError: When the file is missing.
        ValueError: When the file is damaged, holds no video model, or its weights do not fit what its card names.
    """
    state, card = load_checkpoint(path)
    if not card.backbone.startswith(CARD_PREFIX):
        raise ValueError(f"{path}: holds the image model {card.backbone}, not a video model; open it with Embedder")
    size = card.preprocessing
    name = card.backbone.removeprefix(CARD_PREFIX)
    model = build_video_model(name, num_classes=card.num_classes, height=size.height, width=size.width, **card.options)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{Path(path)}: the weights do not fit {card.backbone}: {error}") from error
    return model.eval(), card
