"""Where the limit of the appearance distance comes from: the command line, the network's card, or the tracker."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Of the rates that a card has from the start, one that tracks well on made-up worlds: experiments/README.md.
DEFAULT_FMR = 0.03


@dataclass(frozen=True)
class Gate:
    """A limit of the cosine distance between two looks of one person.

    Attributes:
        max_cosine: The limit; None leaves each tracker its own.
        source: Where it comes from, in words.
    """

    max_cosine: float | None
    source: str

    def __str__(self) -> str:
        """Returns limit and source."""
        limit = "each tracker's own" if self.max_cosine is None else f"{self.max_cosine:.3f}"
        return f"{limit} ({self.source})"


def find_gate(
    options: Iterable[tuple[str, ...]], *, reid: Path | None, max_cosine: float | None, gate_fmr: float | None
) -> Gate | None:
    """Finds the limit for the trackers that have one; networks spread their distances differently.

    Args:
        options: Names of the options of each tracker.
        reid: The network's file, None when the embeddings are another program's.
        max_cosine: What the command line says of the limit itself.
        gate_fmr: What it says of the rate at which the card's distances are taken; None takes `DEFAULT_FMR` where the
            card has it.

    Returns:
        None when no tracker has such a limit, or nothing is known of the network.

    Raises:
        ValueError: When `gate_fmr` is given and has nothing to act on, or the card does not tell of this rate.
        FileNotFoundError: When the network's file is missing.
    """
    concerned = any("max_cosine" in names for names in options)
    if gate_fmr is not None:
        if not concerned:
            raise ValueError("--gate-fmr: no tracker here has a limit of the appearance distance")
        if max_cosine is not None:
            raise ValueError("--gate-fmr with --max-cosine: both say the same limit; give one of them")
        if reid is None:
            raise ValueError("--gate-fmr: the rate is looked up on the card of --reid, which is not given")
    if not concerned or reid is None:
        return None
    if max_cosine is not None:
        return Gate(max_cosine, "--max-cosine")
    from reid.embedder import read_cosine_limit

    rate = DEFAULT_FMR if gate_fmr is None else gate_fmr
    try:
        limit = read_cosine_limit(reid, rate)
    except ValueError as error:
        if gate_fmr is not None:
            raise ValueError(f"--gate-fmr: {error}") from error
        return Gate(None, str(error))
    if limit is not None:
        return Gate(limit, f"card of {reid.name}, false match rate {rate:g}")
    silent = f"{reid.name} has no card with distances, which python -m reid.calibrate would write"
    if gate_fmr is not None:
        raise ValueError(f"--gate-fmr: {silent}")
    return Gate(None, silent)
