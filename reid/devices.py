"""Device names, understood alike by every backend."""

import re


def parse_device(name: str) -> tuple[str, int]:
    """Splits a device name.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:N".

    Returns:
        "auto", "cpu" or "cuda", and the index of the GPU, 0 unless told.

    Raises:
        ValueError: When the name is another.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?::(\d+))?", name)
    if match is None or (match[2] and match[1] != "cuda"):
        raise ValueError(f"device: got {name!r}, allowed: auto, cpu, cuda, cuda:N")
    return match[1], int(match[2] or 0)


def check_precision(precision: str, device: str, width: int) -> None:
    """Refuses bf16 where its convolutions are known to be wrong.

    Processors with AMX get values that were never written from oneDNN's bf16 convolutions of stride 2 whose output is
    one position wide (oneDNN 3 in torch 2.15). Networks divide the width by 32 at most; the rule is the same for every
    processor, so that a command runs everywhere or nowhere.

    Args:
        precision: What autocast computes in, for example "bf16".
        device: Its kind, "cpu" or "cuda".
        width: Columns of the network's input, in pixels.

    Raises:
        ValueError: For bf16 on the CPU with images of 32 columns or fewer.
    """
    if precision == "bf16" and device == "cpu" and width <= 32:
        raise ValueError(f"precision: got bf16 on the CPU with images {width} pixels wide, allowed: from 33 pixels on")
