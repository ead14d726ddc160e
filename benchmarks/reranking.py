"""k-reciprocal re-ranking side by side with torchreid 0.2.5, in one run.

python benchmarks/reranking.py --scale 0.25        a quarter of Market-1501's size; 1 is all of it (12 GB of memory)

torchreid gets its distance matrices ready-made and only its re_ranking() is timed; ours starts from the features. Each
runs in a process of its own. Results are compared twice: as they are, and at --check-scale with a stable sort put into
torchreid's function, because its own sort orders equal distances at random.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.features import clustered
from benchmarks.memory import peak_gigabytes
from benchmarks.side_by_side import MARKET, market_parser, peer_python, run_job, run_market

TOLERANCE = 1e-4


def main() -> None:
    """Prints a markdown table and the comparison of the results."""
    parser = market_parser(__doc__, repeats=3)
    parser.add_argument("--check-scale", type=float, default=0.1, help="share for the comparison with a stable sort")
    run_market(parser, JOBS, compare)


def compare(arguments: argparse.Namespace) -> None:
    """Runs both sides and prints."""
    from reid.records import hardware

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        query, gallery = write_features(folder, arguments.scale, arguments.dim, arguments.seed)
        print(f"{query} queries, {gallery} gallery items, {arguments.dim}-d; {hardware()}\n")
        ours = run_job(sys.executable, __file__, "ours", folder, "--repeats", str(arguments.repeats))
        rows = [
            ("one product of all features with all, as numpy does it (x @ x.T)", ours["product"], None),
            ("the same in blocks of 1024 rows, nothing kept", ours["blocks"], None),
            ("k_reciprocal_rerank", ours["seconds"], ours),
        ]
        peer = None
        if not arguments.without_torchreid:
            python = peer_python(arguments.build)
            peer = run_job(python, __file__, "torchreid", folder)
            rows.append(("torchreid re_ranking", peer["seconds"], peer))
        print_table(rows, ours["seconds"])
        print(f"\nfirst call, with compilation or its cache: {ours['first']:.1f} s")
        if peer:
            print(f"as they are: {difference(folder)}")
            write_features(folder, arguments.check_scale, arguments.dim, arguments.seed)
            run_job(sys.executable, __file__, "ours", folder, "--repeats", "1")
            run_job(python, __file__, "torchreid-stable", folder)
            print(f"at scale {arguments.check_scale}, equal distances by index on both sides: {difference(folder)}")


def write_features(folder: Path, scale: float, dim: int, seed: int) -> tuple[int, int]:
    """Writes query.npy and gallery.npy and returns their lengths."""
    query, gallery = round(MARKET["query"] * scale), round(MARKET["gallery"] * scale)
    rng = np.random.default_rng(seed)
    features, _ = clustered(rng, query + gallery, dim, max(1, round(MARKET["pids"] * scale)))
    np.save(folder / "query.npy", features[:query])
    np.save(folder / "gallery.npy", features[query:])
    return query, gallery


def print_table(rows: list[tuple[str, float, dict[str, Any] | None]], base: float) -> None:
    """Prints markdown: seconds, as a multiple of ours, memory where it was measured."""
    print("| | seconds | times ours | peak memory of the process, GB | of it before the call |\n|---|---|---|---|---|")
    for name, seconds, job in rows:
        memory = f"{job['peak']:.2f} | {job['before']:.2f}" if job else "- | -"
        print(f"| {name} | {seconds:.2f} | {seconds / base:.2f} | {memory} |")


def difference(folder: Path) -> str:
    """Says how far the two results are apart, in values and in ranking."""
    ours, theirs = np.load(folder / "ours.npy"), np.load(folder / "theirs.npy")
    apart = np.abs(ours - theirs)
    wrong = sum(has_wrong_order(*rows) for rows in zip(ours, theirs, strict=True))
    return (
        f"largest difference {apart.max():.1e}, share above {TOLERANCE:.0e} {np.mean(apart > TOLERANCE):.1e}, queries "
        f"where two items whose distances differ by more than {TOLERANCE:.0e} changed places: {wrong} of {len(ours)}"
    )


def has_wrong_order(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    """Says whether an item that is clearly nearer by theirs is farther by ours."""
    order = np.argsort(theirs)
    distances, other = theirs[order], np.maximum.accumulate(ours[order])
    clearly_before = np.searchsorted(distances, distances - TOLERANCE)  # so many items are nearer by the tolerance
    some = clearly_before > 0
    return bool(np.any(other[clearly_before[some] - 1] > ours[order][some]))


def run_ours(folder: Path, repeats: int) -> dict[str, float]:
    """Times ours from features."""
    from reid.reranking import k_reciprocal_rerank

    query, gallery = np.load(folder / "query.npy"), np.load(folder / "gallery.npy")
    start = time.perf_counter()
    k_reciprocal_rerank(query[:100], gallery[:400])
    first = time.perf_counter() - start
    before = peak_gigabytes()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = k_reciprocal_rerank(query, gallery)
        seconds.append(time.perf_counter() - start)
    peak = peak_gigabytes()
    np.save(folder / "ours.npy", result)
    del result
    features = np.concatenate([query, gallery])
    start = time.perf_counter()
    features @ features.T
    product = time.perf_counter() - start
    block = np.empty((1024, len(features)), np.float32)
    start = time.perf_counter()
    for row in range(0, len(features), 1024):
        rows = features[row : row + 1024]
        np.matmul(rows, features.T, out=block[: len(rows)])
    blocks = time.perf_counter() - start
    return {
        "seconds": float(np.median(seconds)),
        "first": first,
        "before": before,
        "peak": peak,
        "product": product,
        "blocks": blocks,
    }


def run_torchreid(folder: Path, repeats: int, stable: bool = False) -> dict[str, float]:
    """Times torchreid's function from ready Euclidean distances: it squares what it gets."""
    from torchreid.reid.utils import rerank

    if stable:
        names = {name: getattr(np, name) for name in dir(np)}
        rerank.np = SimpleNamespace(**names | {"argsort": lambda values: np.argsort(values, kind="stable")})
    query, gallery = np.load(folder / "query.npy"), np.load(folder / "gallery.npy")
    before = peak_gigabytes()
    pairs = ((query, gallery), (query, query), (gallery, gallery))
    # In float64 the root of a whole number squares to it again after rounding; the timed run gets the usual float32.
    matrices = [euclidean(x, y, np.float64 if stable else np.float32) for x, y in pairs]
    start = time.perf_counter()
    result = rerank.re_ranking(*matrices)
    seconds = time.perf_counter() - start
    np.save(folder / "theirs.npy", result)
    return {"seconds": seconds, "before": before, "peak": peak_gigabytes()}


def euclidean(x: NDArray[np.float32], y: NDArray[np.float32], dtype: type) -> NDArray[Any]:
    """Returns Euclidean distances, the roots of exact squares."""
    squared = x @ y.T
    squared *= -2
    squared += (x * x).sum(1)[:, None]
    squared += (y * y).sum(1)
    return np.sqrt(squared, dtype=dtype)


def run_torchreid_stable(folder: Path, repeats: int) -> dict[str, float]:
    """As `run_torchreid`, with equal distances in the order of their index."""
    return run_torchreid(folder, repeats, stable=True)


JOBS = {"ours": run_ours, "torchreid": run_torchreid, "torchreid-stable": run_torchreid_stable}

if __name__ == "__main__":
    main()
