"""The Frechet distance of Inception features (FID), through torch-fidelity, for those who have the weights."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from reid.data.base import Sample
from reid.data.crops import load_crop
from reid.data.images import Preprocessing

_HINT = "give weights-inception-2015-12-05-6726825d.pth of torch-fidelity; nothing is downloaded here"


class PixelImages(Dataset):
    """Samples as uint8 tensors (3, H, W) of one size.

    Args:
        samples: The images.
        size: Height and width.
    """

    def __init__(self, samples: Sequence[Sample], size: tuple[int, int]) -> None:
        self.samples = samples
        self._resize = Preprocessing(*size)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Returns one image."""
        return torch.from_numpy(self._resize.batch([load_crop(self.samples[index])])[0])


def check_inception(weights: Path) -> None:
    """Looks whether torch-fidelity and the file are there, without loading them.

    Raises:
        ModuleNotFoundError: When torch-fidelity is not installed.
        FileNotFoundError: When there is no such file.
    """
    try:
        found = importlib.util.find_spec("torch_fidelity")
    except ValueError:  # what stands in sys.modules is no module
        found = None
    if found is None:
        raise ModuleNotFoundError("inception_weights: needs torch-fidelity: pip install torch-fidelity")
    if not weights.is_file():
        raise FileNotFoundError(f"{weights}: no such file; {_HINT}")


def inception_distance(real: Sequence[Sample], generated: Sequence[Sample], weights: Path) -> float:
    """Returns the FID (arXiv 1706.08500) of generated images to real ones, as torch-fidelity computes it.

    Both sets are resized to the size of the first generated image before torch-fidelity resizes them to Inception's.
    That network knows objects, not people, and FID needs thousands of images: a number for comparison with other work.

    Args:
        real: Two images or more.
        generated: Two images or more.
        weights: The file of the Inception network that torch-fidelity uses.

    Raises:
        ModuleNotFoundError: When torch-fidelity is not installed.
        FileNotFoundError: When there is no such file.
        ValueError: When the file holds no weights of that network.
    """
    check_inception(weights)
    from torch_fidelity import calculate_metrics

    try:
        # torch-fidelity would run whatever a pickle asks for; this load refuses all but tensors.
        torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{weights}: no file of weights alone; {_HINT}") from error
    height, width = load_crop(generated[0]).shape[:2]
    first, second = (PixelImages(part, (height, width)) for part in (generated, real))
    options = {"feature_extractor_weights_path": str(weights), "cuda": torch.cuda.is_available(), "fid": True}
    options |= {"cache": False, "verbose": False, "save_cpu_ram": True, "batch_size": min(32, len(first), len(second))}
    try:
        scores = calculate_metrics(input1=first, input2=second, **options)
    except RuntimeError as error:
        raise ValueError(f"{weights}: torch-fidelity cannot use it ({str(error).splitlines()[0]}); {_HINT}") from error
    return float(scores["frechet_inception_distance"])
