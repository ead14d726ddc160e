"""AFLink (StrongSORT, arXiv 2202.13514, section 3.3): tracks joined by a small network that sees trajectories only.

No trained weights come with the paper's text. Those in checkpoints/ have learnt from walks of the made-up world alone,
see checkpoints/README.md; train others on ground truth of your own:

python -m tracking.aflink --gt DIR --out aflink.safetensors
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):  # run as a file: the repository root, not this folder, is where imports start
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.data.mot import read_ground_truth
from reid.files import atomic_path
from reid.records import score_record
from tracking.association import FORBIDDEN
from tracking.runner import TrackedSequence
from tracking.sequences import find_sequences
from tracking.tracklets import join, make_tracklets

WINDOW = 30
MAX_GAP = 30  # frames, the paper's
MAX_DISTANCE = 75.0  # pixels, the paper's
MIN_SCORE = 0.95
SHORTEST = 5  # boxes of a training tracklet
PAIRS_PER_PASS = 1024
WORLD_WEIGHTS = Path(__file__).resolve().parents[1] / "checkpoints" / "aflink_world.safetensors"


def encode_pairs(earlier: list[np.ndarray], later: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the network sees of pairs of tracklets, float32 (B, 1, 30, 3) each.

    The last 30 boxes of the earlier tracklet and the first 30 of the later are taken; shorter ones are padded with
    zeros, on the side away from the gap. Frames count from the first of both, in seconds of 30 frames; places are
    taken from the end of the earlier tracklet and divided by 75 pixels, the most that a link may span.

    Args:
        earlier: (N, 3) each, frame, x and y of centres, ascending.
        later: The same.
    """
    encoded = np.zeros((2, len(earlier), 1, WINDOW, 3), np.float32)
    for index, (before, after) in enumerate(zip(earlier, later)):
        before, after = before[-WINDOW:], after[:WINDOW]
        origin = np.array([before[0, 0], before[-1, 1], before[-1, 2]])
        scale = np.array([WINDOW, MAX_DISTANCE, MAX_DISTANCE])
        encoded[0, index, 0, WINDOW - len(before) :] = (before - origin) / scale
        encoded[1, index, 0, : len(after)] = (after - origin) / scale
    return encoded[0], encoded[1]


def load_aflink(path: str | os.PathLike[str] | None = None) -> Any:
    """Returns the trained network, ready to run.

    Args:
        path: File of `train_aflink`; None takes the one that comes with the repository, `WORLD_WEIGHTS`.

    Raises:
        ValueError: When the file is missing or holds other weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from tracking.aflink_network import AfLinkNetwork

    path = WORLD_WEIGHTS if path is None else Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; train it with `python -m tracking.aflink --gt DIR --out FILE`")
    network = AfLinkNetwork()
    try:
        network.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: not weights of AFLink ({reason}); train some: python -m tracking.aflink") from error
    return network.eval()


def same_person(network: Any, earlier: list[np.ndarray], later: list[np.ndarray]) -> np.ndarray:
    """Returns the network's probability, float32 (N,), that each pair of tracklets is of one person.

    Args:
        network: Of `load_aflink`.
        earlier: As `encode_pairs`.
        later: The same.
    """
    import torch

    scores = [np.empty(0, np.float32)]
    for first in range(0, len(earlier), PAIRS_PER_PASS):
        pair = slice(first, first + PAIRS_PER_PASS)
        before, after = encode_pairs(earlier[pair], later[pair])
        with torch.no_grad():
            scores.append(network(torch.from_numpy(before), torch.from_numpy(after)).softmax(1)[:, 1].numpy())
    return np.concatenate(scores)


def link_by_trajectories(tracked: TrackedSequence, network: Any) -> TrackedSequence:
    """Returns the tracks with those joined that the network takes for one person.

    Args:
        tracked: Of one sequence.
        network: Of `load_aflink`.
    """
    tracklets = make_tracklets(tracked, None)
    if len(tracklets) < 2:
        return tracked
    points = _points(tracked)
    pieces = [points[rows] for rows in tracklets.rows]
    gap = tracklets.first[None] - tracklets.last[:, None]
    stop, start = np.stack([piece[-1, 1:] for piece in pieces]), np.stack([piece[0, 1:] for piece in pieces])
    near = np.sqrt(((stop[:, None] - start[None]) ** 2).sum(-1)) < MAX_DISTANCE
    rows, columns = np.nonzero((gap > 0) & (gap < MAX_GAP) & near)
    cost = np.full(gap.shape, FORBIDDEN)
    cost[rows, columns] = 1 - same_person(network, [pieces[row] for row in rows], [pieces[index] for index in columns])
    return join(tracked, tracklets, cost, 1 - MIN_SCORE)


def _points(tracked: TrackedSequence) -> np.ndarray:
    centre = tracked.xywh[:, :2] + 0.5 * tracked.xywh[:, 2:]
    return np.concatenate([tracked.frame[:, None], centre], axis=1).astype(np.float64)


def training_pairs(
    trajectories: list[np.ndarray], count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yields pairs of tracklets and 1 for one person, 0 for two, half of each.

    A trajectory is cut in two with a gap below 30 frames; of two people, a piece of one ends where a piece of the
    other begins, within the gap and the distance that a link may span. Trajectories that never come near to another
    give pairs of one person only, so the halves are of what is found.

    Args:
        trajectories: (N, 3) each, frame, x and y, ascending, of one sequence.
        count: How many pairs are tried.
        rng: Where they are drawn from.
    """
    long = [points for points in trajectories if len(points) >= 2 * SHORTEST]
    if not long:
        return
    for number in range(count):
        mine = long[rng.integers(len(long))]
        cut = int(rng.integers(SHORTEST, len(mine) - SHORTEST + 1))
        before = mine[max(0, cut - int(rng.integers(SHORTEST, 2 * WINDOW))) : cut]
        gap = int(rng.integers(1, MAX_GAP))
        end = before[-1]
        other = mine if number % 2 else long[rng.integers(len(long))]
        if number % 2 == 0 and other is mine:
            continue
        begin = int(np.searchsorted(other[:, 0], end[0] + gap))
        after = other[begin : begin + int(rng.integers(SHORTEST, 2 * WINDOW))]
        if len(after) < SHORTEST or after[0, 0] - end[0] >= MAX_GAP:
            continue
        if np.hypot(*(after[0, 1:] - end[1:])) < MAX_DISTANCE:
            yield before, after, number % 2


@dataclass(frozen=True)
class AfLinkConfig:
    """Trains AFLink on ground truth: Adam, cosine schedule, cross entropy, as in the paper.

    Attributes:
        gt: Folder of sequence folders with gt/gt.txt.
        out: The weights, .safetensors, in half precision; where they come from stands in its metadata.
        judge: Folder of other sequences, whose pairs tell how often the trained network is right.
        epochs: Passes over the pairs; the paper takes 20.
        batch: Pairs a step.
        pairs: Pairs tried from each sequence.
        learning_rate: At the beginning; the paper's 0.001.
        seed: Of the pairs and of the weights.
    """

    gt: Path
    out: Path
    judge: Path | None = None
    epochs: int = 20
    batch: int = 32
    pairs: int = 4000
    learning_rate: float = 1e-3
    seed: int = 0


def read_trajectories(folder: Path) -> list[np.ndarray]:
    """Returns frame, x and y of the pedestrians that count in a sequence's ground truth, (N, 3) each."""
    truth = read_ground_truth(folder / "gt" / "gt.txt")
    wanted = (truth.class_id == 1) & (truth.flag != 0)
    centre = truth.xywh[:, :2] + 0.5 * truth.xywh[:, 2:]
    points = np.concatenate([truth.frame[:, None], centre], axis=1)
    found = []
    for identity in np.unique(truth.track_id[wanted]):
        own = points[wanted & (truth.track_id == identity)]
        found.append(own[np.argsort(own[:, 0], kind="stable")])
    return found


def read_pairs(root: Path, count: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Returns the training pairs of all sequences of a folder.

    Raises:
        ValueError: When there are none of one person, or of two.
    """
    pairs = []
    for folder in find_sequences(root).values():
        pairs += list(training_pairs(read_trajectories(folder), count, rng))
    if {kind for _, _, kind in pairs} != {0, 1}:
        raise ValueError(f"{root}: no pairs of one person and of two; longer or fuller sequences are needed")
    return pairs


def judge_aflink(network: Any, pairs: list[tuple[np.ndarray, np.ndarray, int]]) -> dict[str, float]:
    """Returns how often a network is right, all ratios: over pairs of each kind alike, and where it would link.

    Returns:
        "accuracy": mean of the shares of both kinds that are told rightly; "linked": the share of pairs of one person
        whose score is above the paper's 0.95; "wrongly linked": the same share of pairs of two.
    """
    kind = np.array([pair[2] for pair in pairs])
    score = same_person(network, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    one, two = score[kind == 1], score[kind == 0]
    return {
        "pairs": len(pairs),
        "accuracy": float(((one > 0.5).mean() + (two <= 0.5).mean()) / 2),
        "linked": float((one >= MIN_SCORE).mean()),
        "wrongly linked": float((two >= MIN_SCORE).mean()),
    }


def train_aflink(config: AfLinkConfig) -> float:
    """Trains and writes the network; returns the accuracy on the training pairs in the last epoch.

    Raises:
        ValueError: When a folder holds no pairs of both kinds.
    """
    rng = np.random.default_rng(config.seed)
    pairs = read_pairs(config.gt, config.pairs, rng)
    others = (
        None if config.judge is None else read_pairs(config.judge, config.pairs, np.random.default_rng(config.seed))
    )
    network, accuracy = _train(config, pairs, rng)
    scores: dict[str, Any] = {"training pairs": len(pairs), "training accuracy": accuracy}
    if others is not None:
        scores["judge"] = judge_aflink(network.eval(), others)
        print("other sequences: " + ", ".join(f"{name} {value:.4g}" for name, value in scores["judge"].items()))
    _save(config, network, scores)
    return accuracy


def _save(config: AfLinkConfig, network: Any, scores: dict[str, Any]) -> None:
    """Writes the weights, matrices in half precision, and the record of their training as metadata."""
    from safetensors.torch import save_file

    state = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in network.state_dict().items()}
    data = config.gt.resolve()
    record = score_record(scores, protocol="inductive", dataset=data.name, split="train", seed=config.seed)
    with atomic_path(config.out) as path:
        save_file(state, path, metadata={"record": json.dumps(record)})


def _train(
    config: AfLinkConfig, pairs: list[tuple[np.ndarray, np.ndarray, int]], rng: np.random.Generator
) -> tuple[Any, float]:
    """Returns the trained network and its accuracy on the training pairs in the last epoch."""
    import torch

    # Weights and dropout draw from the seed alone, and leave the caller's random numbers as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return _train_seeded(config, pairs, rng)


def _train_seeded(
    config: AfLinkConfig, pairs: list[tuple[np.ndarray, np.ndarray, int]], rng: np.random.Generator
) -> tuple[Any, float]:
    import torch

    from tracking.aflink_network import AfLinkNetwork

    before, after = encode_pairs([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    target = torch.tensor([pair[2] for pair in pairs])
    network = AfLinkNetwork()
    weight = len(target) / (2 * torch.bincount(target, minlength=2).float())
    criterion = torch.nn.CrossEntropyLoss(weight)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs, eta_min=1e-5)
    accuracy = 0.0
    for epoch in range(config.epochs):
        network.train()
        correct = 0
        order = rng.permutation(len(target))
        # A last batch of one pair is left out: its variance is none.
        for start in range(0, len(order) - 1, config.batch):
            index = order[start : start + config.batch]
            logits = network(torch.from_numpy(before[index]), torch.from_numpy(after[index]))
            loss = criterion(logits, target[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            correct += int((logits.argmax(1) == target[index]).sum())
        schedule.step()
        accuracy = correct / len(target)
        print(f"epoch {epoch + 1}/{config.epochs}: {len(target)} pairs, accuracy {100 * accuracy:.1f} %", flush=True)
    return network, accuracy


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    import tyro

    config = tyro.cli(AfLinkConfig, args=arguments)
    try:
        train_aflink(config)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
