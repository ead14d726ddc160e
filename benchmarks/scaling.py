"""Time and memory of re-ranking, clustering distances and scoring by the number of items; goes on where it stopped.

python benchmarks/scaling.py --items 2000 5000 10000 20000 50000 100000 --peer     (24 GB of memory, an hour on 2 cores)
python benchmarks/scaling.py --items 93820 --queries 11659 --work product rerank top-k scoring         MSMT17's size

Items are queries and gallery together. Each row runs in a process of its own and is written to the folder --out as soon
as it is measured; rows that are there are not measured again. Memory is what the work needs beyond the features at its
peak, results included.
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.features import clustered
from benchmarks.memory import measured
from benchmarks.side_by_side import DEFAULT_FOLDER, peer_python, run_job

PEER_ITEMS = 20_000  # torchreid's re_ranking takes some 24 bytes a pair of items: 10 GB
CAMERAS = 6
_ROWS = 1024


@dataclass(frozen=True)
class Inputs:
    """What all works are given; features float32 (N, D), queries first, ids int64 (N,)."""

    features: NDArray[np.float32]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    queries: int
    options: argparse.Namespace

    def ids(self) -> list[NDArray[np.int64]]:
        """Returns query pids, gallery pids, query camids, gallery camids."""
        return [part for ids in (self.pids, self.camids) for part in (ids[: self.queries], ids[self.queries :])]

    def sides(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the features of the queries and of the gallery."""
        return self.features[: self.queries], self.features[self.queries :]

    def search(self) -> dict[str, Any]:
        """Returns how neighbours are searched; the standard output is kept for the JSON of the job."""
        say = partial(print, file=sys.stderr, flush=True)
        return {"neighbours": self.options.neighbours, "device": self.options.device, "say": say}


def half_product(inputs: Inputs) -> None:
    """Multiplies the blocks on and above the diagonal, which no exact search can do without."""
    features = inputs.features
    block = np.empty((_ROWS, len(features)), np.float32)
    for row in range(0, len(features), _ROWS):
        rows = features[row : row + _ROWS]
        part = block.ravel()[: len(rows) * (len(features) - row)].reshape(len(rows), -1)
        np.matmul(rows, features[row:].T, out=part)


def rerank(inputs: Inputs, top_k: int | None = None) -> Any:
    """Runs our re-ranking."""
    from reid.reranking import k_reciprocal_rerank

    return k_reciprocal_rerank(*inputs.sides(), top_k=top_k, **inputs.search())  # type: ignore[call-overload]


def rerank_best(inputs: Inputs) -> Any:
    """Runs our re-ranking for the best of each query."""
    return rerank(inputs, inputs.options.top_k)


def graph(inputs: Inputs) -> Any:
    """Builds the graph that pseudo labels are clustered from."""
    from reid.jaccard import jaccard_graph

    return jaccard_graph(inputs.features, **inputs.search())


def score(inputs: Inputs) -> Any:
    """Scores from features."""
    from reid.metrics import evaluate_features

    return evaluate_features(*inputs.sides(), *inputs.ids())


def distances(inputs: Inputs, names: tuple[str, ...] = ("qg", "qq", "gg")) -> list[NDArray[np.float32]]:
    """Returns the Euclidean distance matrices that torchreid wants ready-made; q is the queries, g the gallery."""
    from reid.distances import euclidean_distances

    parts = dict(zip("qg", inputs.sides(), strict=True))
    return [euclidean_distances(parts[first], parts[second]) for first, second in names]


def torchreid_rerank(inputs: Inputs, matrices: list[NDArray[np.float32]]) -> Any:
    """Runs torchreid's function."""
    from torchreid.reid.utils.rerank import re_ranking

    return re_ranking(*matrices)


def torchreid_score(inputs: Inputs, matrices: list[NDArray[np.float32]]) -> Any:
    """Runs torchreid's function in Python; the package holds no other."""
    from torchreid.reid.metrics.rank import evaluate_rank

    return evaluate_rank(matrices[0], *inputs.ids(), use_cython=False)


WORKS: dict[str, tuple[str, Callable[[Inputs], Any]]] = {
    "product": ("half a product, nothing kept", half_product),
    "rerank": ("k_reciprocal_rerank", rerank),
    "top-k": ("k_reciprocal_rerank(top_k)", rerank_best),
    "jaccard": ("jaccard_graph", graph),
    "scoring": ("evaluate_features", score),
}
# With the distance matrices that they are given, which count as memory and not as time.
PEER_WORKS: dict[str, tuple[str, Callable[..., Any], tuple[str, ...]]] = {
    "torchreid-rerank": ("torchreid re_ranking", torchreid_rerank, ("qg", "qq", "gg")),
    "torchreid-scoring": ("torchreid evaluate_rank", torchreid_score, ("qg",)),
}


def main() -> None:
    """Measures what is missing, then writes the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[2000, 5000, 10000])
    parser.add_argument("--queries", type=int, help="among the items; a sixth of them unless told")
    parser.add_argument("--work", nargs="+", choices=tuple(WORKS), default=list(WORKS))
    parser.add_argument("--peer", action="store_true", help=f"torchreid too, up to {PEER_ITEMS} items")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--top-k", type=int, default=100)
    parser.add_argument("--neighbours", choices=("exact", "hnsw", "ivf"), default="exact")
    parser.add_argument("--device", default="cpu", help="cpu, torch-cpu, cuda or cuda:N, for the exact search")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/scaling"), help="folder of rows, table and picture")
    parser.add_argument("--build", type=Path, default=DEFAULT_FOLDER, help="where torchreid's environment goes")
    parser.add_argument("--job", choices=(*WORKS, *PEER_WORKS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(arguments)))
        return
    from benchmarks.scaling_table import write_tables

    for items in arguments.items:
        measure_size(arguments, items)
    write_tables(arguments.out, {name: work[0] for name, work in (WORKS | PEER_WORKS).items()})


def measure_size(arguments: argparse.Namespace, items: int) -> None:
    """Measures the works of one size that have no row yet."""
    from reid.files import write_json
    from reid.records import hardware, repository_commit

    queries = arguments.queries or max(1, items // 6)
    if not 0 < queries < items:
        raise SystemExit(f"--queries: got {queries}, allowed: 1 to {items - 1} of {items} items")
    settings = {name: getattr(arguments, name) for name in ("dim", "top_k", "neighbours", "device", "seed")}
    settings |= {"items": items, "queries": queries}
    peers = list(PEER_WORKS) if arguments.peer and items <= PEER_ITEMS else []
    missing = [work for work in (*arguments.work, *peers) if not is_measured(arguments.out, work, settings)]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), items, arguments.dim, arguments.seed)
        options = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
        for work in missing:
            python = peer_python(arguments.build) if work in PEER_WORKS else sys.executable
            print(f"{items} items: {work}", file=sys.stderr, flush=True)
            done = run_job(python, __file__, work, Path(name), *options)
            origin = {"commit": repository_commit(), "date": datetime.now(timezone.utc).date().isoformat()}
            origin |= {"hardware": hardware(), "command": shlex.join(["python", *sys.argv])}
            row = {"work": work} | settings | done | origin
            write_json(row_path(arguments.out, work, items, queries), row)


def row_path(out: Path, work: str, items: int, queries: int) -> Path:
    """Returns the file of a row."""
    return out / "rows" / f"{work}-{items}-{queries}.json"


def is_measured(out: Path, work: str, settings: dict[str, Any]) -> bool:
    """Says whether a row is there; one of other settings is an error, because a table holds one kind only."""
    path = row_path(out, work, settings["items"], settings["queries"])
    if not path.exists():
        return False
    row = json.loads(path.read_text(encoding="utf-8"))
    changed = [f"{name} {row.get(name)} (now {value})" for name, value in settings.items() if row.get(name) != value]
    if changed:
        raise SystemExit(f"{path}: measured with {', '.join(changed)}; give the same, or another --out")
    return True


def write_inputs(folder: Path, items: int, dim: int, seed: int) -> None:
    """Writes features.npy and ids.npz: 25 images a person, 6 cameras."""
    rng = np.random.default_rng(seed)
    features, pids = clustered(rng, items, dim, max(1, items // 25))
    np.save(folder / "features.npy", features)
    np.savez(folder / "ids.npz", pids=pids, camids=rng.integers(0, CAMERAS, items))


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Measures one work at one size, after a small one that imports and compiles."""
    from reid.distances import available_threads

    features, ids = np.load(arguments.folder / "features.npy"), np.load(arguments.folder / "ids.npz")
    inputs = Inputs(features, ids["pids"], ids["camids"], arguments.queries, arguments)
    number = np.arange(min(300, len(features)))
    small = Inputs(features[: len(number)], number % 10, number % 7, len(number) // 3, arguments)
    given = 0.0
    if arguments.job in WORKS:
        run = WORKS[arguments.job][1]
        run(small)
        with measured() as cost:
            run(inputs)
    else:
        _, compare, names = PEER_WORKS[arguments.job]
        compare(small, distances(small, names))
        matrices = distances(inputs, names)
        given = sum(matrix.nbytes for matrix in matrices) / 1e9
        with measured() as cost:
            compare(inputs, matrices)
    spent = {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds}
    return spent | {"gigabytes": cost.beyond + given, "cores": available_threads()}


if __name__ == "__main__":
    main()
