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
