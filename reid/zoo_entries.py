"""The zoo: what checkpoints/zoo.yaml says of each network, and the file that "zoo:NAME" stands for."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from reid.data.images import Preprocessing
from reid.files import write_text
from reid.yaml_mapping import read_yaml_mapping

ZOO = Path(__file__).resolve().parents[1] / "checkpoints" / "zoo.yaml"
PREFIX = "zoo:"
SCORE_KEYS = ("dataset", "split", "distance", "protocol")
RATIOS = ("Rank-1", "mAP")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HEADER = """\
# The zoo, an entry a network: python -m reid.models.zoo list|show|verify|fetch, and "zoo:NAME" wherever a checkpoint
# is asked for. Files lie in this folder. A checkpoint's own card wins; a test holds both to the same. Entries with a
# url belong to others: fetch brings them. Scores are ratios; those of a synthetic world are no benchmark's.
"""


@dataclasses.dataclass(frozen=True)
class ZooEntry:
    """What the zoo says of a network.

    Attributes:
        name: In "zoo:NAME".
        backbone: Name for `reid.models.build_model`.
        options: Options for it.
        input: How a crop becomes the input.
        embedding_size: D of the embeddings.
        file: A .safetensors checkpoint, relative to the folder of zoo.yaml.
        licence: Of the weights.
        training_data: What they were trained on.
        training_data_licence: What its owners allow.
        training: How long and how, in words.
        url: Where the weights can be had; None for those that come with the repository. A .safetensors file there is a
            checkpoint, any other holds weights of another library, which `fetch` renames.
        sha256: Of what lies at the url, or of the file for an entry without; None where nobody has told it.
        scores: Each with dataset, split, distance, protocol, Rank-1 and mAP, the latter two in 0..1.
    """

    name: str
    backbone: str
    options: dict[str, Any]
    input: Preprocessing
    embedding_size: int
    file: str
    licence: str
    training_data: str
    training_data_licence: str
    training: str
    url: str | None = None
    sha256: str | None = None
    scores: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns what stands in the file, below the name."""
        values = dataclasses.asdict(self) | {
            "input": self.input.to_dict(),
            "scores": [dict(row) for row in self.scores],
        }
        del values["name"]
        return values

    @classmethod
    def from_dict(cls, name: str, values: Any, where: str) -> "ZooEntry":
        """Builds an entry from what `to_dict` returned.

        Raises:
            ValueError: When something is missing, unknown or of another kind; the message begins with `where`.
        """
        fields = {field.name: field for field in dataclasses.fields(cls) if field.name != "name"}
        needed = {key for key, field in fields.items() if field.default is dataclasses.MISSING}
        found = set(values) if isinstance(values, Mapping) else set()
        if found - set(fields) or needed - found:
            raise ValueError(
                f"{where}: {name}: unknown: {', '.join(sorted(found - set(fields))) or 'nothing'}; missing: "
                f"{', '.join(sorted(needed - found)) or 'nothing'}; allowed: {', '.join(fields)}"
            )
        if not _NAME.fullmatch(str(name)):
            raise ValueError(f"{where}: name: got {name!r}, allowed: letters, digits, _ . -")
        try:
            size = Preprocessing.from_dict(values["input"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: {name}: input: {error}") from error
        scores = tuple(dict(row) for row in values.get("scores") or ())
        entry = cls(**{**values, "name": str(name), "input": size, "scores": scores})
        entry._check(where)
        return entry

    def _check(self, where: str) -> None:
        path = Path(self.file)
        if path.suffix != ".safetensors" or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{where}: {self.name}: file: got {self.file}, allowed: a .safetensors file in the folder")
        if self.url is not None and urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"{where}: {self.name}: url: got {self.url}, allowed: http:// or https://")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{where}: {self.name}: sha256: got {self.sha256!r}, allowed: 64 hexadecimal digits, null")
        for row in self.scores:
            if {*SCORE_KEYS, *RATIOS} != set(row):
                raise ValueError(
                    f"{where}: {self.name}: scores: got {row}, allowed: {', '.join((*SCORE_KEYS, *RATIOS))}"
                )

    @property
    def foreign(self) -> bool:
        """Whether the url holds weights of another library, and no checkpoint of this project."""
        return self.url is not None and Path(urlsplit(self.url).path).suffix != ".safetensors"


def brief_scores(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns score records of a card as an entry has them, rounded to a hundredth of a percent."""
    return [
        {name: record.get(name, "unknown") for name in SCORE_KEYS}
        | {name: round(float(record["scores"][name]), 4) for name in RATIOS}
        for record in records
    ]


def read_zoo(path: str | os.PathLike[str] = ZOO) -> dict[str, ZooEntry]:
    """Reads the entries, by name.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is no zoo; the message begins with its path.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such zoo")
    content = read_yaml_mapping(path, "names to entries")
    return {str(name): ZooEntry.from_dict(name, values, str(path)) for name, values in content.items()}


def write_zoo(entries: Mapping[str, ZooEntry], path: str | os.PathLike[str] = ZOO) -> None:
    """Writes the entries, sorted by name, whole or not at all."""
    values = {name: entries[name].to_dict() for name in sorted(entries)}
    write_text(path, _HEADER + yaml.safe_dump(values, sort_keys=False, width=120, allow_unicode=True))


def find_entry(name: str, path: str | os.PathLike[str] = ZOO) -> ZooEntry:
    """Returns an entry, by its name or as "zoo:NAME".

    Raises:
        FileNotFoundError: When there is no such zoo.
        ValueError: When there is no such entry; the message lists those that are there.
    """
    entries = read_zoo(path)
    name = name.removeprefix(PREFIX)
    if name not in entries:
        raise ValueError(f"zoo: got {name!r}, allowed: {', '.join(sorted(entries)) or 'none, the zoo is empty'}")
    return entries[name]


def resolve_source(source: str | os.PathLike[str], zoo: str | os.PathLike[str] = ZOO) -> Path:
    """Returns the file of a network: that of an entry for "zoo:NAME", otherwise the path itself.

    Args:
        source: A path, or "zoo:NAME".
        zoo: The zoo's file.

    Raises:
        FileNotFoundError: When the entry's file is not on this machine; the message says how to get it.
        ValueError: When there is no such entry; the message lists those that are there.
    """
    text = os.fspath(source)
    if not text.startswith(PREFIX):
        return Path(text)
    entry = find_entry(text, zoo)
    path = Path(zoo).parent / entry.file
    if not path.is_file():
        advice = f"python -m reid.models.zoo fetch {entry.name}"
        if entry.url is None:
            advice = "it came with the repository; restore it (git checkout), or train it again"
        raise FileNotFoundError(f"{path}: the file of {text} is not there: {advice}")
    return path
