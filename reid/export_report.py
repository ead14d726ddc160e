"""The report of an export: the exported file beside its source, as `Embedder` runs them on the CPU."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from reid.distances import cpu_threads
from reid.embedder import Embedder
from reid.export_options import ExportConfig
from reid.parity import cosine_parity, file_bytes, retrieval_parity, speeds, tracking_parity
from reid.quantise_images import HELD_OUT, CalibrationImages
from reid.training_data import TestSet

# A mean cosine so many times as far from 1 as was allowed is worth a warning.
_FAR = 2.0


def compare_networks(config: ExportConfig, test: TestSet | None, images: CalibrationImages | None) -> dict[str, Any]:
    """Compares the exported file with its source, both with as many threads.

    Args:
        config: Of the export, whose file is there.
        test: Labelled images for mAP and Rank-1.
        images: For the cosines; of those that the file was calibrated on none is taken.

    Returns:
        What goes into FILE.parity.json.
    """
    threads = cpu_threads(config.threads)
    before = Embedder(config.ckpt, device="cpu", camera=config.camera, threads=threads)
    after = Embedder(config.out, device="cpu", threads=threads)
    found: dict[str, Any] = {"threads": threads}
    with _torch_threads(threads):
        if test is not None:
            found["retrieval"] = {"dataset": test.name} | retrieval_parity(before, after, test.data)
        if images is not None:
            int8 = config.format == "onnx-int8"
            crops = images.images[HELD_OUT] if int8 else images.images
            name = "held-out calibration images" if int8 else images.origin
            found["images"] = {"origin": name} | dataclasses.asdict(cosine_parity(before(crops), after(crops)))
        found["crops_per_second"] = dict(zip(("before", "after"), speeds([before, after]), strict=True))
    found["bytes"] = {"before": file_bytes(config.ckpt), "after": file_bytes(config.out)}
    if config.tracking is not None:
        found["tracking"] = tracking_parity(config.tracking, config.ckpt, config.out)
    return found


def cosine_warning(report: dict[str, Any], least: float) -> str | None:
    """Returns a warning when 8 bits move the embeddings of the test images far more than was asked for.

    Args:
        report: Of `compare_networks`.
        least: The mean cosine that the images beside the calibration have.
    """
    own = report.get("retrieval")
    if own is None or 1 - own["mean_cosine"] <= _FAR * (1 - least):
        return None
    return (
        f"warning: the mean cosine on {own['dataset']} is {own['mean_cosine']:.5f}, far below --min-cosine {least}, "
        "which the images of the calibration reach: these are unlike the test images; give --calibration-images with "
        "crops as the network will see them, or a larger --calibration-count"
    )


def print_report(report: dict[str, Any]) -> None:
    """Prints what `compare_networks` has found."""
    for name in ("retrieval", "images"):
        if name in report:
            own = report[name]
            cosines = f"mean {own['mean_cosine']:.5f}, worst {own['min_cosine']:.5f}, {own['num_images']} images"
            print(f"{own.get('dataset') or own['origin']}: cosine {cosines}")
    for name in ("retrieval", "tracking"):
        if name in report:
            own = report[name]
            for metric, change in own["change"].items():
                before, after = own["before"][metric], own["after"][metric]
                print(f"{metric}: {100 * before:.2f} -> {100 * after:.2f} ({100 * change:+.2f})")
    speed, size = report["crops_per_second"], report["bytes"]
    threads = f"{report['threads']} thread{'s' if report['threads'] > 1 else ''}"
    for batch, before in speed["before"].items():
        after = speed["after"][batch]
        print(f"crops a second, {batch}, {threads}: {before:.1f} -> {after:.1f} ({after / before:.2f} times)")
    print(f"file: {size['before'] / 2**20:.2f} -> {size['after'] / 2**20:.2f} MiB")


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
