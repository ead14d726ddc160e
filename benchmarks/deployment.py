"""Exported networks on the CPU against OSNet x1.0 in float32: crops a second in one run, and mAP of float and 8 bits.

python benchmarks/deployment.py --root WORLD          a few minutes; WORLD is a labelled set in Market-1501's layout
python benchmarks/deployment.py --networks zoo:reidlite_world@256x128 --openvino

A network is a checkpoint, which may be told another input size (the networks of the zoo take any), or the name of a
backbone with random weights, which may be told its options (reidlite,last_stride=2@256x128). Each runs in float32 and
in 8 bits, in onnxruntime and, if asked for, in OpenVINO. They take turns, so that what else the machine does meets
all of them; a speed is the median over the rounds, and so is the ratio to OSNet of the same round. With one thread
the processor's time counts, which waiting for other programs does not lengthen; with more it is the time of the
clock. The last column is the time of cutting 32 people out of a frame of 1920 x 1080, resizing and, for inputs of
float32, normalising them, as a share of that of the network. 8-bit networks take the pixels as they are, or
normalised ones with --int8-input float32. mAP is that of checkpoints in their own size, calibrated on the training
images of the set.

python benchmarks/deployment.py --networks --real DATA --real-networks DATA/models/osnet_x0_25_msmt17.onnx

compares float and 8 bits on real people instead: DATA holds mot17-mini/train and video/ (experiments/real_people.py),
and each is calibrated on the crops of the other.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

NETWORKS = (
    "zoo:cares18_world@256x128",
    "zoo:reidlite_world@256x128",
    "zoo:reidlite_world@192x96",
    "zoo:reidlite_stride2_world@256x128",
    "osnet_x0_25@256x128",
)
BASE = "osnet_x1_0@256x128"
BATCHES = (1, 32)
OPSET = 17
Run = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row: a network in one arithmetic and one engine.

    Attributes:
        title: Of the network.
        arithmetic: "float32" or "int8".
        engine: "onnxruntime" or "OpenVINO".
        runs: What embeds a batch, by its size.
        prepare: Makes the input of the largest batch from a frame.
    """

    title: str
    arithmetic: str
    engine: str
    runs: dict[int, Run]
    prepare: Run


def _checkpoint(text: str, folder: Path) -> tuple[str, Path]:
    """Writes the network of SOURCE[,OPTION=VALUE ...][@HEIGHTxWIDTH] into a folder; returns its title and the file."""
    import torch

    from experiments.generated_plan import told_options
    from reid.checkpoint import Card, load_checkpoint, save_checkpoint
    from reid.data.images import Preprocessing
    from reid.models import build_model, input_size

    source, _, size = text.partition("@")
    path = folder / "model.safetensors"
    if source.startswith("zoo:") or source.endswith(".safetensors"):
        state, card = load_checkpoint(source)
    else:
        torch.manual_seed(0)
        name, *told = source.split(",")
        options = told_options(told, "networks")
        model: Any = build_model(name, **options).eval()
        card = Card(name, options, 0, int(model.embedding_size), Preprocessing(*input_size(name)))
        state = model.state_dict()
    if size:
        try:
            height, width = map(int, size.split("x"))
        except ValueError as error:
            raise ValueError(f"networks: got {text}, allowed: SOURCE or SOURCE@HEIGHTxWIDTH") from error
        card = dataclasses.replace(
            card, preprocessing=dataclasses.replace(card.preprocessing, height=height, width=width)
        )
    save_checkpoint(path, state, card)
    own = card.preprocessing
    return f"`{Path(source).stem if source.endswith('.safetensors') else source}`, {own.height} x {own.width}", path


def _variants(
    text: str, folder: Path, threads: int, openvino: bool, float_only: bool, int8_input: str
) -> list[Variant]:
    from reid.export_network import example_images, load_exportable
    from reid.export_onnx import write_onnx
    from reid.quantise import QuantiseOptions, quantise_onnx

    title, checkpoint = _checkpoint(text, folder)
    files = {"float32": (folder / "float.onnx", "float32")}
    network = load_exportable(checkpoint)
    write_onnx(network, files["float32"][0], OPSET)
    if not float_only:
        files["int8"] = (folder / "int8.onnx", int8_input)
        taking = load_exportable(checkpoint, int8_input)
        write_onnx(taking, folder / "source.onnx", OPSET)
        images = example_images(taking.card, 8).numpy()
        # What comes out does not matter here: no layer stays in float for it.
        quantise_onnx(folder / "source.onnx", files["int8"][0], images, QuantiseOptions("minmax", min_cosine=1e-9))
    found = []
    for engine in ["onnxruntime", *(["OpenVINO"] if openvino and not float_only else [])]:
        for arithmetic, (path, kind) in files.items():
            card = dataclasses.replace(network.card, input_kind=kind)
            inputs = {batch: example_images(card, batch).numpy() for batch in BATCHES}
            runs, prepare = _runs(path, engine, inputs, threads), _preparing(card.preprocessing, kind)
            found.append(Variant(title, arithmetic, engine, runs, prepare))
    return found


def _runs(path: Path, engine: str, inputs: dict[int, Any], threads: int) -> dict[int, Run]:
    if engine == "onnxruntime":
        from reid.onnx_backend import open_session

        session = open_session(path, "cpu", threads)
        return {batch: lambda images=images: session.run(None, {"images": images}) for batch, images in inputs.items()}  # type: ignore[misc]
    from reid.openvino_backend import open_openvino

    backend, _, _ = open_openvino(path, "cpu", None, threads)
    compiled = backend.compiled
    return {batch: lambda images=images: compiled({0: images}) for batch, images in inputs.items()}  # type: ignore[misc]


def _preparing(preprocessing: Any, kind: str) -> Run:
    """Returns what cuts the largest batch out of a frame and makes it a network's input, both as `embed_boxes` does."""
    import numpy as np

    from reid.embed_boxes import cut_boxes

    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (1080, 1920, 3), np.uint8)
    height = random.uniform(80, 400, max(BATCHES))
    corners = np.stack([random.uniform(0, 1700, len(height)), random.uniform(0, 680, len(height))], axis=1)
    boxes = np.concatenate([corners, corners + np.stack([0.4 * height, height], axis=1)], axis=1)
    if kind == "uint8":
        return lambda: preprocessing.batch(cut_boxes(frame, boxes)[0])
    return lambda: preprocessing.normalise(preprocessing.batch(cut_boxes(frame, boxes)[0]))


def speed_table(
    networks: Sequence[str], base: str, threads: int, rounds: int, least: float, openvino: bool, int8_input: str
) -> str:
    """Measures and returns the table in Markdown; the first row is what the others are compared with."""
    from benchmarks.backbones import measure

    clock = time.process_time if threads == 1 else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        rows: list[Variant] = []
        for number, text in enumerate([base, *networks]):
            (own := Path(folder) / str(number)).mkdir()
            rows += _variants(text, own, threads, openvino, float_only=number == 0, int8_input=int8_input)
        cells = [[row.title, row.arithmetic, row.engine] for row in rows]
        base_seconds: list[float] = []
        for batch in reversed(BATCHES):  # the base's largest batch is what all are compared with
            seconds = measure([row.runs[batch] for row in rows], rounds, least, clock)
            base_seconds = base_seconds or [own / batch for own in seconds[0]]
            for cell, found in zip(cells, seconds, strict=True):
                ratio = statistics.median(b / (own / batch) for b, own in zip(base_seconds, found, strict=True))
                cell.append(f"{batch / statistics.median(found):.0f} ({ratio:.1f} x)")
                if batch == 1:
                    cell.append(f"{1000 * statistics.median(found):.1f}")
        largest = max(BATCHES)
        # Each beside its network once more, so that both meet the same machine.
        pairs = measure([run for row in rows for run in (row.prepare, row.runs[largest])], rounds, least / 4, clock)
        for number, cell in enumerate(cells):
            own, network = (statistics.median(seconds) for seconds in pairs[2 * number : 2 * number + 2])
            cell.append(f"{100 * own / network:.1f} %")
    columns = ["network", "arithmetic", "engine", *(f"batch {batch}" for batch in reversed(BATCHES)), "ms, batch 1"]
    columns.append("preparing")
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *cells])


def accuracy_table(networks: Sequence[str], root: Path, count: int, method: str, int8_input: str) -> str:
    """Returns the table of mAP and Rank-1 in float and in 8 bits, of those networks that are checkpoints."""
    from reid.embedder import Embedder
    from reid.export_int8 import export_int8
    from reid.export_onnx import export_onnx
    from reid.parity import retrieval_parity
    from reid.quantise import QuantiseOptions
    from reid.quantise_images import folder_images
    from reid.training_data import read_test_set
    from reid.zoo_entries import resolve_source

    data = read_test_set("market1501", root, lambda _: None).data
    images, _ = folder_images(root, count)
    sources = dict.fromkeys(text.partition("@")[0] for text in networks)
    columns = ["network", "mAP, Rank-1, float32", "int8", "change of mAP", "cosine, mean, worst", "layers in float"]
    lines = [columns, ["---"] * len(columns)]
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            if not source.startswith("zoo:") and not source.endswith(".safetensors"):
                continue
            path, plain, small = resolve_source(source), Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            export_onnx(path, plain, opset=OPSET)
            options = QuantiseOptions(method)
            done = export_int8(path, small, images, options, input_kind=int8_input, opset=OPSET)
            found = retrieval_parity(Embedder(plain), Embedder(small), data, quiet=True)
            scores = [f"{100 * found[k]['mAP']:.2f}, {100 * found[k]['Rank-1']:.2f}" for k in ("before", "after")]
            cosines = f"{found['mean_cosine']:.4f}, {found['min_cosine']:.4f}"
            kept = f"{len(done.float_layers)} of {done.num_layers}"
            lines.append([f"`{source}`", *scores, f"{100 * found['change']['mAP']:+.2f}", cosines, kept])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def real_table(sources: Sequence[str], root: Path, count: int, method: str, int8_input: str) -> str:
    """Returns the table of how well real people are told apart in float and in 8 bits."""
    import numpy as np

    from experiments.real_people import FRAMES, VIDEO, separation, sequence_people, video_people
    from reid.embedder import Embedder
    from reid.export_int8 import export_int8
    from reid.export_onnx import export_onnx
    from reid.parity import cosine_parity
    from reid.quantise import QuantiseOptions
    from reid.zoo_entries import resolve_source

    sets = {"frames": (sequence_people(root / FRAMES), 1), "video": (video_people(root / VIDEO), 20)}
    columns = ["network", "people", "crops", "calibrated on", "AUC, float32", "int8", "cosine, mean, worst"]
    lines = [columns, ["---"] * len(columns)]
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            path, plain, small = resolve_source(source), Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            kind = "float32"  # files have their own
            if path.suffix == ".onnx":
                plain = path
            else:
                kind = int8_input
                export_onnx(path, plain, opset=OPSET)
            for name, (people, apart) in sets.items():
                other = next(key for key in sets if key != name)
                images = sets[other][0].crops
                images = [images[number] for number in np.random.default_rng(0).permutation(len(images))[:count]]
                export_int8(path, small, images, QuantiseOptions(method), input_kind=kind, opset=OPSET)
                rows = [Embedder(file)(people.crops) for file in (plain, small)]
                scores = [f"{separation(own, people, apart)[0]:.4f}" for own in rows]
                found = cosine_parity(*rows)
                counts = [str(len(set(people.person.tolist()))), str(len(people.crops))]
                cosines = f"{found.mean_cosine:.4f}, {found.min_cosine:.4f}"
                lines.append([f"`{path.stem}`", f"{counts[0]} of the {name}", counts[1], other, *scores, cosines])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Prints the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=NETWORKS, help="SOURCE or SOURCE@HEIGHTxWIDTH")
    parser.add_argument("--base", default=BASE, help="what they are compared with, in float32 by onnxruntime")
    parser.add_argument("--openvino", action="store_true", help="OpenVINO as well")
    parser.add_argument("--int8-input", choices=("float32", "uint8"), default="uint8", help="of the 8-bit networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--least", type=float, default=0.3, help="seconds of each network in a round")
    parser.add_argument("--root", type=Path, help="labelled set for the second table")
    parser.add_argument("--calibration-count", type=int, default=128)
    parser.add_argument("--calibration-method", default="percentile")
    parser.add_argument("--real", type=Path, help="folder of real frames and of a real video for the third table")
    parser.add_argument("--real-networks", nargs="+", default=("zoo:cares18_world",), help="checkpoints or .onnx files")
    arguments = parser.parse_args()
    try:
        if arguments.networks:
            table = speed_table(
                arguments.networks,
                arguments.base,
                arguments.threads,
                arguments.rounds,
                arguments.least,
                arguments.openvino,
                arguments.int8_input,
            )
            clock = "processor" if arguments.threads == 1 else "clock"
            print(f"Crops a second of {clock} time, {arguments.threads} threads, {arguments.rounds} rounds\n")
            print(table, flush=True)
        if arguments.root is not None:
            settings = (arguments.calibration_count, arguments.calibration_method)
            print(f"\n{arguments.root.name}, 8 bits calibrated by {settings[1]} on {settings[0]} images\n")
            print(accuracy_table(arguments.networks, arguments.root, *settings, arguments.int8_input), flush=True)
        if arguments.real is not None:
            settings = (arguments.calibration_count, arguments.calibration_method)
            print(f"\nReal people, 8 bits calibrated by {settings[1]} on {settings[0]} crops\n")
            print(real_table(arguments.real_networks, arguments.real, *settings, arguments.int8_input))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
