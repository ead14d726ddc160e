"""Crops a second of whole embedders, from pixels of a frame to rows of norm 1, and the network's share of the time.

python benchmarks/embedding.py                                        networks of the zoo, with random weights
python benchmarks/embedding.py --device cuda --precision fp16 --batch-size 128
python benchmarks/embedding.py --sources zoo:cares18_world reidlite@256x128 CHECKPOINT net.onnx

Each source embeds the boxes of a frame with `reid.embed_boxes`; beside it, in turns, its network alone runs on a batch
that lies on the device as it wants it (.safetensors), or that is prepared (exported files). Times are the clock's,
after the GPU has finished; medians over the rounds.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # imports start at the repository root; this file would stand for the package otherwise
    sys.path[0] = str(Path(__file__).resolve().parents[1])

FRAME = (1080, 1920)
# Without downloads; "timm:NAME" and "torchvision:NAME" go as well.
NETWORKS = ("cares18", "seres18", "sedense18", "osnet_x0_25", "osnet_x1_0", "plr_osnet", "vit_tiny", "resnet50_ibn_a")
NETWORKS += ("reidlite", "reidlite@256x128")


def boxes_of_people(count: int, seed: int = 0) -> Any:
    """Returns xyxy boxes inside `FRAME`, float64 (count, 4): 80 to 400 pixels high, 0.4 times as wide."""
    import numpy as np

    random = np.random.default_rng(seed)
    height = random.uniform(80, 400, count)
    corners = np.stack([random.uniform(0, 1700, count), random.uniform(0, 680, count)], axis=1)
    return np.concatenate([corners, corners + np.stack([0.4 * height, height], axis=1)], axis=1)


def network_alone(embedder: Any, batch: Any) -> Callable[[], Any]:
    """Returns what runs an embedder's network once on uint8 (N, 3, H, W), without preparing it."""
    import torch

    backend = embedder._backend
    if not hasattr(backend, "model"):
        prepared = embedder.preprocessing.normalise(batch) if _takes_floats(backend) else batch
        return lambda: backend.session.run(None, {backend.input.name: prepared})
    images = torch.from_numpy(embedder.preprocessing.normalise(batch)).to(backend.device)
    images = images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> None:
        with torch.autocast(backend.device.type, dtype=backend.autocast, enabled=backend.autocast is not None):
            backend.model(images, None)
        if backend.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _takes_floats(backend: Any) -> bool:
    if not hasattr(backend, "session"):
        raise ValueError("sources: got a file that neither torch nor onnxruntime runs, allowed: .safetensors, .onnx")
    return backend.input.type == "tensor(float)"


def opened(source: str, options: argparse.Namespace) -> tuple[Any, str]:
    """Returns the embedder of a file, zoo:NAME or NAME[@HEIGHTxWIDTH] with random weights, and its precision."""
    from benchmarks.backbones import Network
    from reid.data.images import Preprocessing
    from reid.embedder import FORMATS, Embedder
    from reid.models import build_model
    from reid.models.reparameterise import reparameterise
    from reid.torch_backend import open_device

    told = {"batch_size": options.batch_size, "device": options.device}
    if not source.startswith("zoo:") and Path(source).suffix not in FORMATS:
        network = Network.parse(source)
        model = reparameterise(build_model(network.name, 0).eval())
        told["device"] = open_device(options.device)
        size = Preprocessing(network.height, network.width)
        return Embedder.from_model(model, size, precision=options.precision, **told), options.precision
    precision = options.precision if source.startswith("zoo:") or source.endswith(".safetensors") else "fp32"
    return Embedder(source, precision=precision, threads=options.threads, **told), precision


def measured(source: str, options: argparse.Namespace) -> list[str]:
    """Returns the cells of a source: size of its input, crops a second, milliseconds a batch, the network's share."""
    import numpy as np

    from reid.embed_boxes import embed_boxes

    embedder, precision = opened(source, options)
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)
    boxes = boxes_of_people(options.batch_size)
    size = embedder.preprocessing
    batch = np.zeros((options.batch_size, 3, size.height, size.width), np.uint8)
    runs = [lambda: embed_boxes(embedder, [frame], [boxes]), network_alone(embedder, batch)]
    for run in runs:  # plans, caches and clocks
        for _ in range(3):
            run()
    seconds: list[list[float]] = [[], []]
    for _ in range(options.rounds):
        for own, run in zip(seconds, runs, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
    whole, network = (statistics.median(own) for own in seconds)
    share = min(1.0, network / whole)
    return [
        f"{size.height} x {size.width}",
        precision,
        f"{options.batch_size / whole:.0f}",
        f"{1000 * whole:.1f}",
        f"{100 * share:.0f} %",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", default=NETWORKS, help="NAME[@HEIGHTxWIDTH], zoo:NAME or files")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="of checkpoints")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    options = parser.parse_args(arguments)
    for name in ("batch_size", "rounds", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: got {getattr(options, name)}, allowed: 1 or more")
    import torch

    from reid.records import hardware

    torch.set_num_threads(options.threads)
    on = torch.cuda.get_device_name() if torch.cuda.is_available() and options.device != "cpu" else hardware()
    print(f"{on}, batch {options.batch_size}, {options.threads} CPU thread(s)\n")
    print("| network | input | precision | crops a second | ms a batch | in the network |\n" + "|---" * 6 + "|")
    for source in options.sources:
        try:
            cells = measured(source, options)
        except (FileNotFoundError, ValueError) as error:
            parser.error(f"--sources: {source}: {error}")
        print(f"| `{source}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
