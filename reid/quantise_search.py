"""Which layers of a quantised network stay in float: those that move the embeddings most."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Measure = Callable[[Sequence[str]], np.ndarray]
Tell = Callable[[int, int], None]
_SECONDS = 15.0  # between two lines where there is no terminal


def choose_float_layers(
    layers: Sequence[str], measure: Measure, least: float, tell: Tell | None = None
) -> tuple[list[str], np.ndarray]:
    """Returns as few layers as it takes, in the order of their effect, to bring the mean cosine to `least`.

    When all in 8 bits are near enough, nothing is searched. Otherwise each layer is quantised alone, which tells its
    effect; the layers with the largest stay in float, first one, then twice as many until it is enough, then bisection
    between the last two counts.

    Args:
        layers: Names.
        measure: Maps the names of layers in float to the cosines (N,) between the embeddings then and all in float.
        least: Mean cosine.
        tell: Is told the number of trials that are done and how many there are, once it comes to a search; trials that
            are not needed are left out at the end.

    Returns:
        The layers that stay in float, and the cosines with them.

    Raises:
        ValueError: When the mean cosine is not reached with every layer in float.
    """
    cosines = measure([])
    if cosines.mean() >= least:
        return [], cosines
    done, total = 0, len(layers) + 2 * len(layers).bit_length()

    def trial(kept: Sequence[str]) -> np.ndarray:
        nonlocal done
        found = measure(kept)
        done += 1
        if tell is not None:
            tell(done, total)
        return found

    alone = [float(trial([other for other in layers if other != layer]).mean()) for layer in layers]
    order = [layers[number] for number in np.argsort(alone, kind="stable")]
    enough, short, count = len(order), 0, 1
    best: np.ndarray | None = None
    while count < len(order):
        cosines = trial(order[:count])
        if cosines.mean() >= least:
            enough, best = count, cosines
            break
        short, count = count, 2 * count
    while enough - short > 1:
        middle = (enough + short) // 2
        cosines = trial(order[:middle])
        if cosines.mean() >= least:
            enough, best = middle, cosines
        else:
            short = middle
    if best is None:
        best = trial(order)
        if not best.mean() >= least:
            raise ValueError(f"min_cosine: got {least}, but with all layers in float it is {best.mean():.6f}")
    return order[:enough], best


@contextlib.contextmanager
def search_progress(console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """Yields what shows how far a search is: a bar on a terminal, elsewhere a line every 15 seconds.

    A search that is not needed, or is over before that, shows nothing.

    Args:
        console: None takes standard error.
        clock: Seconds.
    """
    console = Console(stderr=True) if console is None else console
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    last = clock()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if not progress.tasks:
            progress.add_task("layers that stay in float", total=total)
        progress.update(progress.tasks[0].id, completed=done)
        if not console.is_terminal and clock() - last >= _SECONDS:
            last = clock()
            console.print(f"layers that stay in float: {done} of at most {total} trials")

    with progress:
        yield tell
