"""CMC and mAP from a ready distance matrix side by side with torchreid 0.2.5, in one run.

python benchmarks/scoring.py --scale 0.25        a quarter of Market-1501's numbers of images; 1 is all of it (2 GB)

The package on PyPI holds torchreid's Python evaluation only, not the Cython one of its repository. Each runs in a
process of its own.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.features import clustered
from benchmarks.memory import peak_gigabytes
from benchmarks.side_by_side import MARKET, market_parser, peer_python, run_job, run_market

CAMERAS = 6


def main() -> None:
    """Prints a markdown table and the comparison of the results."""
    run_market(market_parser(__doc__, repeats=5), JOBS, compare)


def compare(arguments: argparse.Namespace) -> None:
    """Runs both sides and prints."""
    from reid.records import hardware

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        query, gallery = write_inputs(folder, arguments.scale, arguments.dim, arguments.seed)
        print(f"{query} queries, {gallery} gallery items; {hardware()}\n")
        ours = run_job(sys.executable, __file__, "ours", folder, "--repeats", str(arguments.repeats))
        jobs = {"evaluate_rank, from the matrix": ours, "evaluate_features, from features": ours["features"]}
        if not arguments.without_torchreid:
            peer = run_job(peer_python(arguments.build), __file__, "torchreid", folder)
            jobs["torchreid evaluate_rank (Python)"] = peer
        print("| | seconds | times ours | Rank-1 | mAP | peak memory of the process, GB |\n|---|---|---|---|---|---|")
        for name, job in jobs.items():
            ratio, scores = job["seconds"] / ours["seconds"], f"{job['cmc'][0]:.6f} | {job['mAP']:.6f}"
            print(f"| {name} | {job['seconds']:.2f} | {ratio:.1f} | {scores} | {job['peak']:.2f} |")
        print(f"\nfirst call, with compilation or its cache: {ours['first']:.1f} s")
        if not arguments.without_torchreid:
            apart = np.abs(np.array(ours["cmc"]) - peer["cmc"]).max()
            print(f"largest difference: CMC {apart:.1e}, mAP {abs(ours['mAP'] - peer['mAP']):.1e}")


def write_inputs(folder: Path, scale: float, dim: int, seed: int) -> tuple[int, int]:
    """Writes features, ids and the distance matrix and returns the numbers of queries and gallery items."""
    query, gallery = round(MARKET["query"] * scale), round(MARKET["gallery"] * scale)
    rng = np.random.default_rng(seed)
    features, pids = clustered(rng, query + gallery, dim, max(1, round(MARKET["pids"] * scale)))
    # Noise in the distances: no two are equal, for torchreid's sort orders equal ones at random.
    features += rng.normal(size=features.shape).astype(np.float32)
    camids = rng.integers(0, CAMERAS, query + gallery)
    np.savez(folder / "inputs.npz", features=features, pids=pids, camids=camids, query=query)
    from reid.distances import euclidean_distances

    np.save(folder / "distances.npy", euclidean_distances(features[:query], features[query:]))
    return query, gallery


def read_ids(folder: Path) -> list[Any]:
    """Returns query pids, gallery pids, query camids, gallery camids."""
    data = np.load(folder / "inputs.npz")
    count = int(data["query"])
    return [part for name in ("pids", "camids") for part in (data[name][:count], data[name][count:])]


def run_ours(folder: Path, repeats: int) -> dict[str, object]:
    """Times evaluate_rank, then evaluate_features."""
    from reid.metrics import evaluate_features, evaluate_rank

    distances, ids = np.load(folder / "distances.npy"), read_ids(folder)
    start = time.perf_counter()
    evaluate_rank(np.zeros((1, 1), np.float32), [1], [1], [0], [1])
    first = time.perf_counter() - start
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = evaluate_rank(distances, *ids)
        seconds.append(time.perf_counter() - start)
    peak = peak_gigabytes()
    data = np.load(folder / "inputs.npz")
    features, query = data["features"], int(data["query"])
    start = time.perf_counter()
    other = evaluate_features(features[:query], features[query:], *ids)
    from_features = {"seconds": time.perf_counter() - start, "mAP": other.mAP, "cmc": other.cmc.tolist()}
    return {
        "seconds": float(np.median(seconds)),
        "first": first,
        "peak": peak,
        "mAP": result.mAP,
        "cmc": result.cmc.tolist(),
        "features": from_features | {"peak": peak_gigabytes()},
    }


def run_torchreid(folder: Path, repeats: int) -> dict[str, object]:
    """Times torchreid's function."""
    from torchreid.reid.metrics.rank import evaluate_rank

    distances, ids = np.load(folder / "distances.npy"), read_ids(folder)
    start = time.perf_counter()
    cmc, mean_ap = evaluate_rank(distances, *ids, use_cython=False)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": peak_gigabytes(), "mAP": float(mean_ap), "cmc": np.asarray(cmc).tolist()}


JOBS = {"ours": run_ours, "torchreid": run_torchreid}

if __name__ == "__main__":
    main()
