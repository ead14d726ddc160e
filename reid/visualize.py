"""Draws where a network looks and what it takes for alike: `python -m reid.visualize --ckpt FILE --images FOLDER`."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

if __package__ in (None, ""):
    # Running a file puts its own folder first; the packages live in the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from rich.console import Console
from torch import nn

from reid.activation_maps import activation_norm, similarity_cam
from reid.activation_sheet import draw_maps, draw_neighbours
from reid.attention_rollout import attention_rollout, has_rollout
from reid.config import run_entry_point
from reid.data.base import Sample
from reid.data.crops import load_crops
from reid.data.images import Preprocessing
from reid.dataset_options import parse_dataset_options
from reid.distances import cosine_distances
from reid.embedder import Embedder
from reid.evaluation import check_cameras, embed_samples
from reid.files import write_text
from reid.nearest_images import Images, Neighbour, find_near, images_of_folder, images_of_test_set, write_near
from reid.records import file_sha256, repository_commit
from reid.report.page import figure, heading, page, paragraph
from reid.torch_backend import load_model, open_device
from reid.training_data import read_test_set

MapName = Literal["norm", "grad", "rollout"]
_ABOUT = {
    "norm": "norm: the length of the last feature map's vector at each place (OSNet, arXiv 1905.00953); of a ViT, of "
    "the tokens that the last block reads.",
    "grad": "grad: Grad-CAM (arXiv 1610.02391) of the similarity to the image beside it: where more activation would "
    "bring the two nearer.",
    "rollout": "rollout: attention rollout (arXiv 2005.00928), how much of each patch arrives at the class token.",
}
_SCALE = "Each map is scaled by itself, from its lowest to its highest value: its colours do not compare images."


@dataclasses.dataclass(frozen=True)
class VisualizeConfig:
    """Draws activation maps over images, and each image's nearest ones, as PNG sheets and one self-contained page.

    Raises:
        ValueError: When options contradict each other or one has nothing to act on.
    """

    ckpt: Path
    """A .safetensors checkpoint; of an .onnx file neighbours alone are drawn."""
    out: Path
    """Folder of index.html, the sheets and neighbours.csv."""
    images: Path | None = None
    """Any folder of images, with those of its sub-folders; or --root."""
    root: Path | None = None
    """Folder of a dataset, whose query images are drawn, with their nearest among the gallery."""
    dataset: str = "market1501"
    """Layout of --root, a name of `reid.data.list_datasets()`."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them: boxes=labeled of cuhk03, and so on."""
    num: int = 24
    """Images that are drawn, evenly spaced among all; 0 draws all."""
    top: int = 8
    """Nearest images of each."""
    maps: tuple[MapName, ...] | None = None
    """norm, grad, rollout; unless told all that the network has, rollout being that of a ViT."""
    other: Path | None = None
    """The image whose similarity grad explains; each image's nearest unless told."""
    camera: int | None = None
    """The camera of all images, for a network that was trained with --sie, where a folder does not tell it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = 32
    """Images a forward pass."""

    def __post_init__(self) -> None:
        if (self.images is None) == (self.root is None):
            raise ValueError("give either --images FOLDER or --root DIR")
        if self.root is None and (self.dataset != VisualizeConfig.dataset or self.dataset_options):
            raise ValueError("dataset, dataset_options: got a value with --images, allowed: with --root")
        if self.num < 0 or self.top < 1 or self.batch_size < 1:
            raise ValueError(
                f"num, top, batch_size: got {self.num}, {self.top}, {self.batch_size}, allowed: 0, 1, 1 or more"
            )
        if self.maps is not None and self.ckpt.suffix == ".onnx":
            raise ValueError(f"maps: got {' '.join(self.maps)} for {self.ckpt}, which has neighbours only")
        if self.other is not None and (self.ckpt.suffix == ".onnx" or "grad" not in (self.maps or ("grad",))):
            raise ValueError(f"other: got {self.other} without the map grad, which it is for")


def make_maps(
    config: VisualizeConfig,
    images: Images,
    near: Sequence[Sequence[Neighbour]],
    embed: Embedder,
    say: Callable[[str], None],
) -> tuple[dict[str, np.ndarray], list[Neighbour] | None]:
    """Returns the maps by name, each (N, h, w), and the second images of "grad"."""
    device = open_device(config.device)
    model, card = load_model(config.ckpt, with_classifier=False)
    model = model.to(device)
    names = _names(config, model)
    others = None
    if "grad" in names:
        others = _others(config, images, near, embed)
        if others is None:
            say("note: no map grad, because there is an image without another one to compare it with")
            names = tuple(name for name in names if name != "grad")
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, len(images.drawn), config.batch_size):
        part = slice(start, start + config.batch_size)
        batch, camids = _batch(images.drawn[part], card.preprocessing, device, embed, config.camera)
        for name in names:
            if name == "grad":
                assert others is not None
                similar = _embeddings([other.sample for other in others[part]], embed)
                heat = similarity_cam(model, batch, torch.from_numpy(similar).to(device), camids)
            else:
                heat = (activation_norm if name == "norm" else attention_rollout)(model, batch, camids)
            found[name].append(heat.cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}, others


def _names(config: VisualizeConfig, model: nn.Module) -> tuple[MapName, ...]:
    if config.maps is None:
        return ("norm", "grad", "rollout") if has_rollout(model) else ("norm", "grad")
    if "rollout" in config.maps and not has_rollout(model):
        raise ValueError("maps: got rollout, allowed: norm, grad; rollout is for a ViT with a class token")
    return config.maps


def _others(
    config: VisualizeConfig, images: Images, near: Sequence[Sequence[Neighbour]], embed: Embedder
) -> list[Neighbour] | None:
    """Returns the second image of each; None where an image has no other one."""
    if config.other is None:
        nearest = [near[place] for place in images.places]
        return [found[0] for found in nearest] if all(nearest) else None
    camid = images.drawn[0].camid
    second = Sample(str(config.other), 0, camid, 0, "other")
    distances = cosine_distances(_embeddings(images.drawn, embed), _embeddings([second], embed))[:, 0]
    return [Neighbour(second, float(distance), None) for distance in distances]


def _embeddings(samples: Sequence[Sample], embed: Embedder) -> np.ndarray:
    return embed_samples(embed, samples, "images", quiet=True)


def _batch(
    samples: Sequence[Sample], size: Preprocessing, device: torch.device, embed: Embedder, camera: int | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    images = torch.from_numpy(size.normalise(size.batch(load_crops(samples)))).to(device)
    if embed.needs_cameras:
        return images, torch.tensor([sample.camid for sample in samples], device=device)
    return images, None if camera is None else torch.full((len(samples),), camera, device=device)


def _page(config: VisualizeConfig, images: Images, sheets: dict[str, list[Path]], names: Sequence[str]) -> str:
    body = "".join(paragraph(f"Note: {note}") for note in images.notes)
    links = {}
    if sheets.get("maps"):
        links["maps"] = "Where it looks"
        body += heading("Where it looks", anchor="maps") + "".join(paragraph(_ABOUT[name]) for name in names)
        body += paragraph(_SCALE)
        body += "".join(figure(path, path.name, wide=True) for path in sheets["maps"])
    else:
        body += paragraph("There are no activation maps: an .onnx file does not show what happens inside.")
    if sheets.get("near"):
        links["near"] = "Nearest images"
        body += heading("Nearest images", anchor="near")
        body += "".join(figure(path, path.name, wide=True) for path in sheets["near"])
    facts = (
        f"{len(images.drawn)} of {len(images.all)} images of {config.images or config.root}",
        f"SHA-256 {file_sha256(config.ckpt)[:12]}",
        f"commit {repository_commit()}",
    )
    return page(config.ckpt.name, " · ".join(facts), links, body)


def main(config: VisualizeConfig) -> None:
    """Embeds the images, draws maps and neighbours, and writes the page."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    embed = Embedder(config.ckpt, device=config.device, batch_size=config.batch_size, camera=config.camera)
    if config.images is not None:
        if embed.needs_cameras:
            raise ValueError("camera: got none, allowed: --camera N, for a network that was trained with --sie")
        images = images_of_folder(config.images, config.num)
    else:
        assert config.root is not None
        options = parse_dataset_options(config.dataset_options)
        test = read_test_set(config.dataset, config.root, console.print, **options)
        check_cameras(embed, test.data.cameras_known)
        images = images_of_test_set(test.data, config.num)
    for note in images.notes:
        console.print(f"note: {note}")
    query = embed_samples(embed, images.all, "images")
    pool = query if images.pool is images.all else embed_samples(embed, images.pool, "gallery")
    near = find_near(images, query, pool, config.top)
    write_near(config.out / "neighbours.csv", images.all, near)
    sheets: dict[str, list[Path]] = {}
    maps: dict[str, Any] = {}
    if config.ckpt.suffix == ".onnx":
        console.print("note: an .onnx file does not show what happens inside; neighbours only")
    else:
        maps, others = make_maps(config, images, near, embed, console.print)
        sheets["maps"] = draw_maps(images.drawn, maps, others, config.out)
    if any(near):
        sheets["near"] = draw_neighbours(images.drawn, [near[place] for place in images.places], config.out)
    write_text(config.out / "index.html", _page(config, images, sheets, list(maps)))
    console.print(f"wrote {config.out / 'index.html'}")


if __name__ == "__main__":
    run_entry_point(main, VisualizeConfig)
