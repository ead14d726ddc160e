"""What each test-time step buys: one checkpoint, one test set, a table for each protocol."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# Running a file puts its own folder first; the packages live in the repository's root.
sys.path[0] = str(ROOT)

from reid.config import parse_config, run_entry_point  # noqa: E402
from reid.data.base import ReIDDataset  # noqa: E402
from reid.embedder import Embedder  # noqa: E402
from reid.evaluation import EmbedFunction, Ranking, check_cameras, embed_samples, rank, scores_of  # noqa: E402
from reid.files import write_json, write_text  # noqa: E402
from reid.inference_options import InferenceConfig  # noqa: E402
from reid.post_processing import TestFeatures, post_process, strictest  # noqa: E402
from reid.records import by_protocol, score_record  # noqa: E402
from reid.score_tables import cell  # noqa: E402
from reid.training_data import TestSet, read_test_set  # noqa: E402
from reid.uncertainty import METRICS, Interval, compare_results  # noqa: E402
from reid.views import AveragedViews  # noqa: E402

# Options of reid/image_reid_inference.py, one row each. Numbers are the papers' or plain choices; none was tuned.
ROWS = (
    "",
    "--flip",
    "--multi-crop 0.9",
    "--pca 256",
    "--pca 128",
    "--pca 64",
    "--pca 128 --whiten",
    "--aqe 5",
    "--alpha-qe 5",
    "--dba 5",
    "--dba 5 --alpha-qe 5",
    "--nfc",
    "--camera-bias",
    "--pca 128 --pca-on gallery",
    "--pca 128 --pca-on gallery --whiten",
    "--rerank",
    "--camera-bias --rerank",
)
NOTES = {
    "inductive": "a distance depends on its two images and on training images alone.",
    "transductive": "other test images take part, without their labels. The change is against the features without "
    "the step.",
}


@dataclasses.dataclass(frozen=True)
class PostProcessingConfig:
    """Scores one checkpoint with each test-time step and writes what it changes.

    Intervals are of other people in the test set (bootstrap over identities, the same draws with and without the step).
    Steps that the data do not allow (cameras unknown, too few dimensions) are left out and named.
    """

    ckpt: Path = Path("runs/demo/train/model.safetensors")
    """A .safetensors checkpoint or an .onnx file."""
    root: Path = Path("runs/demo/world-medium-reid")
    """Folder of the dataset."""
    dataset: str = "market1501"
    """How the folder is laid out."""
    out: Path = Path("runs/post-processing")
    """Where post_processing.md and post_processing.json go."""
    draws: int = 2000
    """Draws of identities."""
    confidence: float = 0.95
    """Share of the draws inside an interval."""
    seed: int = 0
    """Of the draws."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch_size: int = 64
    """Images a forward pass."""


class Features:
    """The features of the test set, each way of looking at the images embedded once."""

    def __init__(self, config: PostProcessingConfig, data: ReIDDataset) -> None:
        self._embed = Embedder(config.ckpt, device=config.device, batch_size=config.batch_size)
        check_cameras(self._embed, data.cameras_known)
        self._data = data
        self._training: np.ndarray | None = None
        self._found: dict[tuple[bool, float | None], TestFeatures] = {}
        self.protocol = self._embed.protocol

    def of(self, row: InferenceConfig) -> TestFeatures:
        """Returns the features that the row's views give, training features with them."""
        data, views = self._data, (row.source.flip, row.source.multi_crop)
        if views not in self._found:
            embed: EmbedFunction = self._embed
            if any(views):
                embed = AveragedViews(embed, flip=views[0], multi_crop=views[1])
            if self._training is None:
                self._training = embed_samples(self._embed, data.train, "train")
            sides = [embed_samples(embed, part, "test") for part in (data.query, data.gallery)]
            features = TestFeatures(*sides, training=None if any(views) else self._training)
            if data.cameras_known:
                camids = [np.array([sample.camid for sample in part]) for part in (data.query, data.gallery)]
                features = dataclasses.replace(features, query_camids=camids[0], gallery_camids=camids[1])
            self._found[views] = features
        return self._found[views]


def _parse(flags: str, config: PostProcessingConfig) -> tuple[InferenceConfig, bool]:
    """Returns the options of a row as the command line reads them, and whether it re-ranks."""
    words = ["--root", str(config.root), "--ckpt", str(config.ckpt), *flags.split()]
    return parse_config(InferenceConfig, words), "--rerank" in flags.split()


def _rank(flags: str, config: PostProcessingConfig, data: ReIDDataset, features: Features) -> Ranking:
    row, rerank = _parse(flags, config)
    processed, protocol = post_process(row.steps.names(), features.of(row), row.steps.numbers())
    ranked = rank(
        np.asarray(processed.query),
        np.asarray(processed.gallery),
        data.query,
        data.gallery,
        rerank=rerank,
        cameras_known=data.cameras_known,
        protocol=strictest([protocol, features.protocol]),
    )
    return ranked["Jaccard" if rerank else "Euclidean"]


def measure(config: PostProcessingConfig, test: TestSet) -> tuple[list[dict[str, Any]], list[str]]:
    """Scores all rows.

    Returns:
        A score record for each row, with its options and, but for the first, its changes; and what was left out.

    Raises:
        ValueError: When the plain features cannot be scored.
    """
    features = Features(config, test.data)
    pids = [sample.pid for sample in test.data.query]
    plain = _rank(ROWS[0], config, test.data, features)
    records, left_out = [], []
    for flags in ROWS:
        try:
            ranking = _rank(flags, config, test.data, features) if flags else plain
        except ValueError as error:
            left_out.append(f"`{flags}`: {error}")
            continue
        record = score_record(
            scores_of(ranking.result),
            protocol=ranking.protocol,
            dataset=test.name,
            split=test.split,
            seed=config.seed,
            checkpoint=config.ckpt,
        )
        record |= {"options": flags, "changes": {}}
        if flags:
            numbers = {"confidence": config.confidence, "resamples": config.draws, "seed": config.seed}
            found = compare_results(plain.result, ranking.result, pids, **numbers)  # type: ignore[arg-type]
            record["changes"] = {name: dataclasses.asdict(found[name].difference) for name in METRICS}
        records.append(record)
    return records, left_out


def table(records: list[dict[str, Any]]) -> str:
    """Returns the rows of one protocol as Markdown; changes whose interval leaves 0 out are bold."""
    lines = ["| options | mAP | change | Rank-1 | change | mINP |", "|---" * 6 + "|"]
    for record in records:
        cells = [f"`{record['options']}`" if record["options"] else "none"]
        for name in ("mAP", "Rank-1"):
            cells += [cell(record["scores"][name]), _change(record["changes"].get(name))]
        lines.append("| " + " | ".join([*cells, cell(record["scores"]["mINP"])]) + " |")
    return "\n".join(lines)


def _change(values: dict[str, float] | None) -> str:
    if values is None:
        return ""
    interval = Interval(**values)
    text = cell(interval.value, interval, sign="+")
    return f"**{text}**" if interval.low > 0 or interval.high < 0 else text


def section(config: PostProcessingConfig, records: list[dict[str, Any]], left_out: list[str]) -> str:
    """Returns the tables of both protocols with command, date, commit and hardware."""
    first = records[0]
    parts = [
        f"{config.ckpt} on {first['dataset']}: {first['scores']['num_valid']} queries. Percent; in brackets the "
        f"{100 * config.confidence:g} % interval of the change (paired bootstrap over identities, {config.draws} draws)"
        ", bold where it leaves 0 out. Options are those of `reid/image_reid_inference.py`.",
        f"`{first['command']}` ({first['date']}, {first['commit']}, {first['hardware']})",
    ]
    for protocol, group in by_protocol(records, "post-processing").items():
        parts.append(f"{protocol.capitalize()}: {NOTES[protocol]}\n\n{table(group)}")
    if left_out:
        parts.append("Left out: " + "; ".join(left_out))
    return "\n\n".join(parts) + "\n"


def main(config: PostProcessingConfig) -> None:
    """Scores all rows, prints and writes the tables."""
    test = read_test_set(config.dataset, config.root, print)
    records, left_out = measure(config, test)
    text = section(config, records, left_out)
    write_json(config.out / "post_processing.json", records)
    write_text(config.out / "post_processing.md", text)
    print(text)


if __name__ == "__main__":
    run_entry_point(main, PostProcessingConfig)
