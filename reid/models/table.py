"""The table of backbones in checkpoints/README.md: `python -m reid.models.table`.

Sizes are counted from the networks themselves; beside them stands what the papers say of theirs.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid.files import write_text
from reid.models import input_size, list_models
from reid.models.complexity import measure_complexity

README = Path(__file__).resolve().parents[2] / "checkpoints" / "README.md"
BEGIN = "<!-- backbones: written by python -m reid.models.table -->"
END = "<!-- end of backbones -->"
HEIGHT, WIDTH = 256, 128
# Of timm's thousand networks those that are light enough for real time.
TIMM = (
    "timm:mobilenetv3_small_100",
    "timm:mobilenetv3_large_100",
    "timm:mobilenetv4_conv_small",
    "timm:mobilenetv4_conv_medium",
)


@dataclasses.dataclass(frozen=True)
class Published:
    """What a source says of a network, and how it had it built.

    Attributes:
        parameters: In millions, with the source's digits.
        multiply_adds: With the source's digits and unit, "978.9 M" or "4.09 G"; empty when it tells none.
        source: Where.
        height: Rows of its input.
        width: Columns of its input.
        num_classes: Of its classifier; 0 when the numbers are without.
        options: Of `build_model`.
    """

    parameters: str
    multiply_adds: str
    source: str
    height: int = HEIGHT
    width: int = WIDTH
    num_classes: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def setting(self) -> str:
        """Returns how it was built, in words; empty for this project's default."""
        parts = [f"{self.height} x {self.width}"] if (self.height, self.width) != (HEIGHT, WIDTH) else []
        parts += [f"{self.num_classes} classes"] if self.num_classes else []
        return ", ".join([*parts, *(f"{name} {value}" for name, value in self.options.items())])


_OSNET = "arXiv 1905.00953"
_ZOO = "torchreid's model zoo"
_IMAGENET: dict[str, Any] = {"height": 224, "width": 224, "num_classes": 1000}
_TORCHVISION: dict[str, Any] = {**_IMAGENET, "options": {"last_stride": 2}}
PUBLISHED: dict[str, Published] = {
    "cares18": Published("11.2", "", "its release", options={"attention": "triplet"}),
    "osnet_ain_x1_0": Published("2.2", "0.98 G", _ZOO),
    "osnet_ibn_x1_0": Published("2.2", "0.98 G", _ZOO),
    "osnet_x0_25": Published("0.2", "82.3 M", _OSNET),
    "osnet_x0_5": Published("0.6", "272.9 M", _OSNET),
    "osnet_x0_75": Published("1.3", "571.8 M", _OSNET),
    "osnet_x1_0": Published("2.2", "978.9 M", _OSNET),
    "resnet18": Published("11.69", "1.81 G", "torchvision", **_TORCHVISION),
    "resnet50": Published("25.56", "4.09 G", "torchvision", **_TORCHVISION),
    "sedense18": Published("11.77", "", "its release", num_classes=751),
    "seres18": Published("11.3", "", "its release"),
    "swin_tiny": Published("28.3", "4.5 G", "arXiv 2103.14030, its release", **_IMAGENET),
    "timm:mobilenetv4_conv_small": Published("3.8", "0.2 G", "arXiv 2404.10518", **_IMAGENET),
    "vit_base": Published(
        "85.8", "17.6 G", "arXiv 2012.12877, its release", 224, 224, options={"image_size": (224, 224)}
    ),
}


def rounded(value: int, like: str) -> str:
    """Returns a count with the digits and the unit of another: 978914816 like "978.9 M" is "978.9 M"."""
    number, _, unit = like.partition(" ")
    digits = len(number.partition(".")[2])
    return f"{value / {'': 1e6, 'M': 1e6, 'G': 1e9}[unit]:.{digits}f} {unit}".strip()


def table(names: Sequence[str]) -> str:
    """Returns the table in Markdown, a row a network."""
    lines = [
        f"Embedding size, parameters and multiply-adds an image of {HEIGHT} x {WIDTH} of each network as it is built",
        "by default, without a classifier, and of an image of its own size where that is another; then what its source",
        "says, and how the source built it.",
        "",
        "| network | D | parameters | multiply-adds | published | source |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        found = measure_complexity(name, HEIGHT, WIDTH)
        published = PUBLISHED.get(name)
        cells = ["", ""]
        if published is not None:
            said = ", ".join(filter(None, [f"{published.parameters} M", published.multiply_adds]))
            setting = published.setting()
            cells = [f"{said} ({setting})" if setting else said, published.source]
        size = f"{found.parameters / 1e6:.2f} M"
        work = f"{found.multiply_adds / 1e6:,.0f} M"
        if (own := input_size(name)) != (HEIGHT, WIDTH):
            work += f"; {measure_complexity(name, *own).multiply_adds / 1e6:,.0f} M at {own[0]} x {own[1]}"
        lines.append("| " + " | ".join([f"`{name}`", str(found.embedding_size), size, work, *cells]) + " |")
    return "\n".join(lines)


def update(readme: Path, text: str, begin: str = BEGIN, end: str = END, title: str = "Backbones") -> None:
    """Puts the text between the two marks of a file, which gets them at its end, or is begun, where they are missing.

    Args:
        readme: The file.
        text: What stands between the marks then.
        begin: The first mark.
        end: The second one.
        title: Of the section that a file without them gets.

    Raises:
        ValueError: When the file has one of the marks only.
    """
    old = readme.read_text(encoding="utf-8") if readme.is_file() else "# Checkpoints and backbones\n"
    block = f"{begin}\n{text}\n{end}"
    if (begin in old) != (end in old):
        raise ValueError(f"{readme}: has one of the marks {begin} and {end}, allowed: both or none")
    if begin in old:
        before, _, rest = old.partition(begin)
        block = before + block + rest.partition(end)[2]
    else:
        block = f"{old.rstrip()}\n\n## {title}\n\n{block}\n"
    write_text(readme, block)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description="Writes the table of backbones into checkpoints/README.md.")
    parser.add_argument("--readme", type=Path, default=README, help="another file")
    parser.add_argument("--names", nargs="+", help="these networks instead of all")
    options = parser.parse_args(arguments)
    try:
        update(options.readme, table(options.names or [*list_models(), *TIMM]))
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    print(options.readme)


if __name__ == "__main__":
    main()
