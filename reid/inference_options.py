"""What inference is told: test set, network, steps on features, distances, scores, output."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from reid.dataset_options import parse_dataset_options
from reid.evaluation import Distances, RankOptions
from reid.neighbour_search import Method
from reid.post_processing import PostOptions

DatasetName = Literal["world", "market1501", "dukemtmc", "msmt17", "cuhk03", "veri776", "mot", "folder"]
# An option of a group stands on the command line without the name of the group.
_FLAT = tyro.conf.arg(name="")


def _check_least(options: Any, least: Mapping[str, float]) -> None:
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and value < bound:
            raise ValueError(f"{name}: got {value}, allowed: {bound} or more")


def _check_needed(options: Any, needs: Mapping[str, tuple[str, ...]]) -> None:
    """Refuses options that act only together with another one, which is not there."""
    for name, others in needs.items():
        if getattr(options, name) and not any(getattr(options, other) for other in others):
            flags = " or ".join(f"--{other.replace('_', '-')}" for other in others)
            raise ValueError(f"{name}: got {getattr(options, name)} without {flags}, which it needs")


@dataclasses.dataclass(frozen=True)
class TestSetOptions:
    """Which test set.

    Raises:
        ValueError: When a dataset option is no NAME=VALUE.
    """

    __test__ = False  # pytest takes classes of this name for tests

    root: Path
    """Folder of the dataset."""
    dataset: DatasetName = "market1501"
    """How the folder is laid out."""
    dataset_options: tuple[str, ...] = ()
    """NAME=VALUE, for the datasets that know them: boxes=labeled of cuhk03, and so on."""

    def __post_init__(self) -> None:
        self.reader_options()

    def reader_options(self) -> dict[str, Any]:
        """Returns what the reader is told."""
        return parse_dataset_options(self.dataset_options)


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """What turns images into features, and which views of an image it is shown.

    Raises:
        ValueError: When there is no network or two, or an option has nothing to act on.
    """

    ckpt: Path | None = None
    """A .safetensors checkpoint or an .onnx file."""
    baseline: Literal["none", "colour-histogram"] = "none"
    """Scores this instead of a checkpoint."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of a .safetensors checkpoint."""
    batch_size: int = 64
    """Images a forward pass."""
    height: int | None = None
    """Rows of the input, in the place of the training's, or for an .onnx file that does not say; needs --width."""
    width: int | None = None
    """Its columns; needs --height."""
    flip: bool = False
    """Averages the features of an image and its mirror image. Inductive."""
    multi_crop: float | None = None
    """Averages the image with five cuts of it, the centre and the corners, each this share of height and width.
    Inductive."""

    def __post_init__(self) -> None:
        if (self.ckpt is None) == (self.baseline == "none"):
            raise ValueError("give either --ckpt FILE or --baseline colour-histogram")
        if (self.height is None) != (self.width is None):
            raise ValueError("give --height and --width together")
        if self.multi_crop is not None and not 0 < self.multi_crop < 1:
            raise ValueError(f"multi_crop: got {self.multi_crop}, allowed: above 0, below 1")
        _check_least(self, {"batch_size": 1})
        if self.ckpt is not None:
            return
        network = ("device", "precision", "batch_size", "height", "width")
        useless = [name for name in network if getattr(self, name) != getattr(SourceOptions, name)]
        if useless:
            raise ValueError(f"{', '.join(useless)}: a baseline has no network that these would act on")
        if self.flip:
            raise ValueError("flip: a colour histogram is the same for the mirror image; leave it out")


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """Steps on features. They act in this order: pca, camera-bias, nfc, dba, and aqe or alpha-qe.

    Raises:
        ValueError: When a number is out of its range, or an option is given that another one leaves without effect.
    """

    pca: int | None = None
    """Principal components down to so many dimensions. Inductive when fitted on training images."""
    pca_on: Literal["train", "gallery"] | None = None
    """What they are fitted on, train unless told; gallery is transductive. With --pca."""
    whiten: bool = False
    """Divides each component by its standard deviation. With --pca."""
    camera_bias: bool = False
    """Whitens the test features of each camera around their mean. Transductive."""
    nfc: bool = False
    """Adds the mutual neighbours of each feature, in query and gallery apart. Transductive."""
    nfc_k1: int | None = None
    """Neighbours an item looks at, 2 unless told; with --nfc."""
    nfc_k2: int | None = None
    """Neighbours among which it must be found again, 2 unless told; with --nfc."""
    dba: int | None = None
    """Database augmentation: adds its so many nearest others to each gallery feature. Transductive."""
    aqe: int | None = None
    """Average query expansion: averages each query with its so many nearest gallery features. Transductive."""
    alpha_qe: int | None = None
    """The same, weighted by similarity ** alpha; in the place of --aqe. Transductive."""
    alpha: float | None = None
    """That exponent, 3 unless told; with --alpha-qe or --dba."""

    def __post_init__(self) -> None:
        _check_least(self, {"pca": 1, "nfc_k1": 1, "nfc_k2": 1, "dba": 1, "aqe": 1, "alpha_qe": 1, "alpha": 0})
        needs = {"pca_on": ("pca",), "whiten": ("pca",), "nfc_k1": ("nfc",), "nfc_k2": ("nfc",)}
        _check_needed(self, needs)
        if self.alpha is not None and self.alpha_qe is None and self.dba is None:
            raise ValueError(f"alpha: got {self.alpha} without --alpha-qe or --dba, which it needs")
        if self.aqe is not None and self.alpha_qe is not None:
            raise ValueError(f"aqe: got {self.aqe} with --alpha-qe, allowed: one of them")

    def names(self) -> list[str]:
        """Returns the steps in their order, names of `reid.post_processing.POST_PROCESSING`."""
        projection = "whitening" if self.whiten else "pca"
        chosen = {
            projection if self.pca_on != "gallery" else f"gallery_{projection}": self.pca,
            "camera_bias": self.camera_bias,
            "nfc": self.nfc,
            "dba": self.dba,
            "aqe": self.aqe,
            "alpha_qe": self.alpha_qe,
        }
        return [name for name, value in chosen.items() if value]

    def numbers(self) -> PostOptions:
        """Returns the numbers of the steps; those not told keep their defaults."""
        told = {
            "dimensions": self.pca,
            "nfc_k1": self.nfc_k1,
            "nfc_k2": self.nfc_k2,
            "gallery_k": self.dba,
            "query_k": self.aqe or self.alpha_qe,
            "alpha": self.alpha,
        }
        return PostOptions(**{name: value for name, value in told.items() if value is not None})  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class DistanceOptions:
    """Distances, and how they are made on big sets.

    Raises:
        ValueError: When a number is out of its range, or an option is given that another one leaves without effect.
    """

    rerank: bool = True
    """Adds Jaccard re-ranking. Transductive."""
    k1: int | None = None
    """Neighbours of the k-reciprocal sets, 20 unless told."""
    k2: int | None = None
    """Neighbours of the local query expansion, 6 unless told."""
    lambda_value: float | None = None
    """Share of the original distance in the re-ranked one, 0.3 unless told."""
    neighbours: Method | None = None
    """How re-ranking finds neighbours: exact unless told; hnsw and ivf of faiss miss some, and say how many."""
    rerank_device: str | None = None
    """Where it looks for them: cpu unless told, cuda or cuda:N; with exact neighbours."""
    distances: Distances = "auto"
    """matrix holds all distances of queries to gallery at once; blockwise never does, for big sets; auto takes
    blockwise above 100 million distances. Scores are the same."""

    def __post_init__(self) -> None:
        _check_least(self, {"k1": 1, "k2": 1, "lambda_value": 0})
        if self.lambda_value is not None and self.lambda_value > 1:
            raise ValueError(f"lambda_value: got {self.lambda_value}, allowed: 0..1")
        acting = ("k1", "k2", "lambda_value", "neighbours", "rerank_device")
        useless = [name for name in acting if getattr(self, name) is not None]
        if useless and not self.rerank:
            raise ValueError(f"{', '.join(useless)}: got a value with --no-rerank, allowed: with --rerank")
        if self.rerank_device not in (None, "cpu") and self.neighbours not in (None, "exact"):
            raise ValueError(
                f"rerank_device: got {self.rerank_device} with --neighbours {self.neighbours}, allowed: with exact"
            )

    def numbers(self) -> dict[str, Any]:
        """Returns the numbers of re-ranking that were told."""
        names = ("k1", "k2", "lambda_value")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """Scores beside those of Market-1501's protocol.

    Raises:
        ValueError: When a number is out of its range, or an option is given that another one leaves without effect.
    """

    bootstrap: int | None = None
    """Draws of identities behind the intervals of Rank-1 and mAP, 1000 unless told; 0 leaves them out."""
    confidence: float | None = None
    """Share of the draws inside an interval, 0.95 unless told."""
    single_shot: int | None = None
    """CUHK03's old protocol as well: one random gallery image a person, drawn so many times for each query (10 is
    usual)."""
    seed: int = 0
    """Of these draws, and of which queries are drawn as pictures."""

    def __post_init__(self) -> None:
        _check_least(self, {"bootstrap": 0, "single_shot": 1, "seed": 0})
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise ValueError(f"confidence: got {self.confidence}, allowed: above 0, below 1")
        if self.confidence is not None and self.bootstrap == 0:
            raise ValueError(f"confidence: got {self.confidence} with --bootstrap 0, allowed: with intervals")


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What is written.

    Raises:
        ValueError: When a number is out of its range, or an option is given that another one leaves without effect.
    """

    out: Path = Path("runs/inference")
    """Where result.json and the pictures go."""
    top_k: int | None = None
    """Writes the so many nearest gallery images of each query as well, to nearest_DISTANCE.csv."""
    pictures: bool = True
    """Draws the CMC curve and ranked lists."""
    top: int | None = None
    """Gallery images a row of the ranked lists, 10 unless told."""
    report: bool = True
    """Writes report.html, which holds more pictures, open-set scores and breakdowns, and report.json with its numbers;
    with --pictures."""
    fmr: tuple[float, ...] | None = None
    """False match rates at which the report tells what a threshold does, 0.001 0.01 0.1 unless told."""

    def __post_init__(self) -> None:
        _check_least(self, {"top_k": 1, "top": 1})
        if self.top is not None and not self.pictures:
            raise ValueError(f"top: got {self.top} with --no-pictures, allowed: with --pictures")
        if self.fmr is not None and not (self.pictures and self.report):
            raise ValueError(f"fmr: got {self.fmr} without a report, allowed: with --pictures and --report")
        if self.fmr is not None and not (self.fmr and all(0 < level <= 1 for level in self.fmr)):
            raise ValueError(f"fmr: got {self.fmr}, allowed: one or more rates above 0, up to 1")


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """Scores a checkpoint, an ONNX file or a baseline on a dataset.

    Scores are inductive when a distance depends on its two images alone and on training images, transductive when other
    test images take part, as in re-ranking and in the steps that say so. Each kind has a table of its own.
    """

    data: Annotated[TestSetOptions, _FLAT]
    source: Annotated[SourceOptions, _FLAT]
    steps: Annotated[StepOptions, _FLAT] = dataclasses.field(default_factory=StepOptions)
    distance: Annotated[DistanceOptions, _FLAT] = dataclasses.field(default_factory=DistanceOptions)
    score: Annotated[ScoreOptions, _FLAT] = dataclasses.field(default_factory=ScoreOptions)
    output: Annotated[OutputOptions, _FLAT] = dataclasses.field(default_factory=OutputOptions)

    def ranking(self) -> RankOptions:
        """Returns what `reid.evaluation.rank` is told of big sets and other protocols."""
        return RankOptions(
            distances=self.distance.distances,
            neighbours=self.distance.neighbours or "exact",
            device=self.distance.rerank_device or "cpu",
            top_k=self.output.top_k,
            single_shot=self.score.single_shot,
            seed=self.score.seed,
        )
