"""Re-ranking a gallery of a million items with approximate neighbours: time, memory, and what is found.

python benchmarks/million.py                                    a million items, 1,000 queries, 128-d, both searches
python benchmarks/million.py --gallery 100000 --exact           smaller, and the exact search beside them

Features are made up by `benchmarks/features.py`, 25 images a person. Each search runs in a process of its own and does
all of `k_reciprocal_rerank(..., top_k=100)`: the neighbours of every item, the weights of every item, the best of each
query. The recall of the neighbours is measured against exact ones on 1,000 random items. Rank-1 and the share of the
query's person among the best 10 are given before (Euclidean, exact) and after re-ranking. Memory is what is needed
beyond the features at the peak.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.features import described
from benchmarks.memory import measured
from benchmarks.side_by_side import run_job

_IMAGES = 25
_BEST = 10


def main() -> None:
    """Prints a markdown table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--top-k", type=int, default=100)
    parser.add_argument("--methods", nargs="*", choices=("hnsw", "ivf"), default=["ivf", "hnsw"])
    parser.add_argument("--exact", action="store_true", help="the exact search too: hours for a million items")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", choices=("exact", "hnsw", "ivf"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(arguments)))
        return
    from reid.distances import available_threads
    from reid.records import hardware, repository_commit

    size = f"{arguments.queries:,} queries, {arguments.gallery:,} gallery items, {arguments.dim}-d"
    print(f"{size}; {available_threads()} of {hardware()}; {repository_commit()}\n")
    print(
        "| neighbours | s | processor s | memory beyond the features, GB | Rank-1 | same among the best 10 | search |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        num = arguments.queries + arguments.gallery
        rng = np.random.default_rng(arguments.seed)
        features, pids = described(rng, num, arguments.dim, max(1, num // _IMAGES))
        np.savez(Path(name) / "inputs.npz", features=features, pids=pids)
        nearest = euclidean_best(features[: arguments.queries], features[arguments.queries :])
        print(f"| (Euclidean) | - | - | - | {found(nearest, pids)} | exact |", flush=True)
        del features
        options = [f"--{key.replace('_', '-')}={getattr(arguments, key)}" for key in ("queries", "top_k")]
        for method in (*arguments.methods, *(["exact"] if arguments.exact else [])):
            done = run_job(sys.executable, __file__, method, Path(name), *options)
            numbers = f"{done['seconds']:.1f} | {done['cpu_seconds']:.1f} | {done['gigabytes']:.2f}"
            print(f"| {method} | {numbers} | {done['found']} | {done['said']} |", flush=True)


def measure(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Times one search with all that follows, after a small one that compiles."""
    from reid.reranking import k_reciprocal_rerank

    data = np.load(arguments.folder / "inputs.npz")
    features, pids = data["features"], data["pids"]
    query, gallery = features[: arguments.queries], features[arguments.queries :]
    k_reciprocal_rerank(query[:50], gallery[:500], top_k=10, neighbours=arguments.job, say=lambda text: None)
    said: list[str] = []
    with measured() as cost:
        best = k_reciprocal_rerank(query, gallery, top_k=arguments.top_k, neighbours=arguments.job, say=said.append)[1]
    spent = {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, "gigabytes": cost.beyond}
    return spent | {"found": found(best, pids), "said": said[0].split(": ", 1)[1] if said else "exact"}


def euclidean_best(query: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.int32]:
    """Returns the nearest gallery items of each query, int32 (num_query, 10)."""
    from reid.cosine_neighbours import most_similar  # unit features: the same order

    return most_similar(query, gallery, _BEST)[0]


def found(best: NDArray[np.integer], pids: NDArray[np.int64]) -> str:
    """Says how often the first item, and which share of the first ten, is the query's person; a cell each."""
    same = pids[len(best) :][best[:, :_BEST]] == pids[: len(best), None]
    return f"{100 * same[:, 0].mean():.1f} | {100 * same.mean():.1f}"


if __name__ == "__main__":
    main()
