"""Tracklets to embeddings: scores against a plain loop, checkpoints of images and of videos."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reid.checkpoint import Card, save_checkpoint
from reid.data.images import Preprocessing
from reid.data.mot_tracklets import read_mot_tracklets
from reid.embedder import Embedder
from reid.models.video import build_video_model
from reid.video_embedder import VideoEmbedder, load_video_model, score_tracklets

Videos = Callable[[], Path]


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor], Card]:
    """A checkpoint of frames averaged over time."""
    model = build_video_model("average", "timm:test_resnet", 3, height=32, width=16)
    size, config = Preprocessing(32, 16), {"frames": 3, "crop_factor": 1.2}
    card = Card("video/average", {"backbone": "timm:test_resnet"}, 3, int(model.embedding_size), size, config=config)  # type: ignore[arg-type]
    path = tmp_path / "video.safetensors"
    save_checkpoint(path, model.state_dict(), card)
    return path, model.state_dict(), card


def test_scores_against_a_loop(tiny_videos: Videos) -> None:
    data = read_mot_tracklets(tiny_videos(), max_length=6)
    embed = VideoEmbedder.from_histogram(3, 1.0)
    features = dict(zip(data.gallery, embed(data.gallery), strict=True))
    precisions = []
    for query in data.query:
        rest = [one for one in data.gallery if (one.pid, one.camid) != (query.pid, query.camid)]
        rest.sort(key=lambda one: float(np.linalg.norm(features[one] - features[query])))
        hits = [rank for rank, one in enumerate(rest, start=1) if one.pid == query.pid]
        precisions.append(np.mean([count / rank for count, rank in enumerate(hits, start=1)]))
    assert score_tracklets(embed, data).mAP == pytest.approx(float(np.mean(precisions)))


def test_a_checkpoint_knows_its_frames(stored: tuple[Path, dict[str, torch.Tensor], Card], tiny_videos: Videos) -> None:
    path, _, _ = stored
    embed = VideoEmbedder.from_checkpoint(path)
    assert (embed.frames, embed.crop_factor, embed.preprocessing) == (3, 1.2, Preprocessing(32, 16))
    tracklets = read_mot_tracklets(tiny_videos()).gallery[:3]
    assert np.allclose(np.linalg.norm(embed(tracklets), axis=1), 1, atol=1e-5)
    assert np.allclose(embed(tracklets)[:1], embed(tracklets[:1]), atol=1e-5)


def test_image_models_and_video_models_are_told_apart(
    stored: tuple[Path, dict[str, torch.Tensor], Card], tmp_path: Path
) -> None:
    path, state, card = stored
    with pytest.raises(ValueError, match="backbone: got 'video/average'"):
        Embedder(path, device="cpu")
    save_checkpoint(tmp_path / "image.safetensors", state, dataclasses.replace(card, backbone="cares18"))
    with pytest.raises(ValueError, match="holds the image model cares18"):
        load_video_model(tmp_path / "image.safetensors")
    save_checkpoint(tmp_path / "lstm.safetensors", state, dataclasses.replace(card, backbone="video/lstm"))
    with pytest.raises(ValueError, match="the weights do not fit video/lstm"):
        load_video_model(tmp_path / "lstm.safetensors")
