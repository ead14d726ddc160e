"""k-reciprocal re-ranking that keeps the best of each query: time and memory by the number of items.

python benchmarks/reranking_scale.py --items 2000 10000 30000
python benchmarks/reranking_scale.py --queries 11659 --items 93820        MSMT17's size

Items are queries and gallery together; each size runs in a process of its own. Memory is what the process needs beyond
the features that it is given, at its peak, result included.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.side_by_side import clustered, run_job

_ROWS = 1024


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[2000, 5000, 10000])
    parser.add_argument("--queries", type=int, help="among the items; an eighth of them unless told")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--top-k", type=int, default=100)
    parser.add_argument("--neighbours", choices=("exact", "hnsw", "ivf"), default="exact")
    parser.add_argument("--device", default="cpu", help="cpu, torch-cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(arguments)))
        return
    from reid.records import hardware

    print(f"{arguments.dim}-d, {arguments.neighbours} on {arguments.device}, top {arguments.top_k}; {hardware()}\n")
    print("| items | of them queries | half a product, s | re-ranking, s | times half a product | memory beyond, GB |")
    print("|---|---|---|---|---|---|")
    for items in arguments.items:
        queries = arguments.queries or max(1, items // 8)
        with tempfile.TemporaryDirectory() as name:
            features, _ = clustered(np.random.default_rng(arguments.seed), items, arguments.dim, max(1, items // 25))
            np.save(Path(name) / "features.npy", features)
            del features
            options = ["--queries", queries, "--top-k", arguments.top_k, "--device", arguments.device]
            options += ["--neighbours", arguments.neighbours]
            done = run_job(sys.executable, __file__, "measure", Path(name), *map(str, options))
        ratio = done["seconds"] / done["product"]
        numbers = f"{done['product']:.1f} | {done['seconds']:.1f} | {ratio:.2f} | {done['beyond']:.2f}"
        print(f"| {items:,} | {queries:,} | {numbers} |{done['said']}", flush=True)


def measure(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Times one size."""
    from reid.reranking import k_reciprocal_rerank

    features = np.load(arguments.folder / "features.npy")
    options = {"top_k": arguments.top_k, "neighbours": arguments.neighbours, "device": arguments.device}
    said: list[str] = []
    k_reciprocal_rerank(features[:100], features[100:500], **options, say=lambda text: None)  # compiles
    query, gallery = features[: arguments.queries], features[arguments.queries :]
    before = resident_gigabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; a process inherits that of its parent
    start = time.perf_counter()
    k_reciprocal_rerank(query, gallery, **options, say=said.append)
    seconds = time.perf_counter() - start
    beyond = resident_gigabytes("VmHWM") - before
    return {"seconds": seconds, "product": half_product(features), "beyond": beyond, "said": " ".join(said)}


def resident_gigabytes(name: str) -> float:
    """Returns the resident memory of this process, now (VmRSS) or at its peak (VmHWM), in GB; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e9


def half_product(features: np.ndarray) -> float:
    """Times the products of the blocks on and above the diagonal, which no exact search can do without."""
    block = np.empty((_ROWS, len(features)), np.float32)
    start = time.perf_counter()
    for row in range(0, len(features), _ROWS):
        rows = features[row : row + _ROWS]
        part = block.ravel()[: len(rows) * (len(features) - row)].reshape(len(rows), -1)
        np.matmul(rows, features[row:].T, out=part)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
