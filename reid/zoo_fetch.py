"""Networks of the zoo that others keep: downloaded, checked, made into checkpoints of this project."""

import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.files import atomic_path
from reid.models import build_model
from reid.models.foreign_weights import load_foreign
from reid.records import file_sha256, repository_commit
from reid.zoo_entries import ZooEntry

_BLOCK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte


def download(url: str, path: Path, timeout: float = _TIMEOUT) -> None:
    """Writes what lies at an address to a file.

    Raises:
        OSError: When the server cannot be reached, refuses, or sends less than it said.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise OSError(f"{url}: allowed: http:// or https://")
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response, open(path, "wb") as file:  # noqa: S310 (checked)
            promised = response.headers.get("Content-Length")
            while block := response.read(_BLOCK):
                file.write(block)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{url}: {error!r}") from error
    size = path.stat().st_size
    if promised is not None and size != int(promised):
        raise OSError(f"{url}: the connection ended after {size} of {promised} bytes")


def by_hand(entry: ZooEntry, folder: Path) -> Path:
    """Returns where `fetch` looks for what the url holds, for those who downloaded it themselves."""
    assert entry.url is not None
    suffix = Path(urlsplit(entry.url).path).suffix or ".pth"
    return folder / (str(Path(entry.file).with_suffix(suffix)) if entry.foreign else entry.file)


def fetch(entry: ZooEntry, folder: Path, say: Callable[[str], None] = print) -> Path:
    """Brings the checkpoint of an entry into the zoo's folder.

    Nothing appears there before it was checked. A file that was put there by hand is taken instead of the url.

    Args:
        entry: Of the zoo.
        folder: That of zoo.yaml.
        say: Told what is done.

    Returns:
        The checkpoint.

    Raises:
        OSError: When the download fails; the message says where to put the file by hand.
        ValueError: When there is no url, when the checksum or the network is another one, or the file is damaged.
    """
    path = folder / entry.file
    if entry.url is None:
        raise ValueError(f"{entry.name}: has no url: its file {path} comes with the repository")
    local = by_hand(entry, folder)
    if path.is_file() and path != local:
        say(f"{path} is there already; delete it to fetch it again")
        return path
    downloaded = not local.is_file()
    if downloaded:
        _download(entry, local, say)
    else:
        say(f"{local} is there already, nothing is downloaded")
    found = _checked(entry, local, str(local), say)
    if not entry.foreign:
        load_checkpoint(local)
    else:
        convert(entry, local, path, found, say)
        if downloaded:
            local.unlink()
    say(f"{entry.name}: {path} is ready: zoo:{entry.name}")
    return path


def _download(entry: ZooEntry, local: Path, say: Callable[[str], None]) -> None:
    assert entry.url is not None
    with atomic_path(local) as temporary:
        try:
            say(f"downloading {entry.url}")
            download(entry.url, temporary)
        except OSError as error:
            raise OSError(
                f"{local}: could not be downloaded ({error}); download {entry.url} by hand, put it at {local} and give "
                f"this command again: python -m reid.models.zoo fetch {entry.name}"
            ) from error
        _checked(entry, temporary, entry.url, lambda text: None)


def _checked(entry: ZooEntry, source: Path, where: str, say: Callable[[str], None]) -> str:
    """Returns the checksum of what was downloaded, and refuses another than that on record."""
    found = file_sha256(source)
    if entry.sha256 is None:
        say(f"sha256 {found}: there is none on record for {entry.name}, so nobody vouches for this file")
    elif found != entry.sha256:
        raise ValueError(
            f"{where}: sha256: got {found}, allowed: {entry.sha256}; this is another file than that of {entry.name}, "
            "and it is not used"
        )
    return found


def convert(entry: ZooEntry, source: Path, path: Path, sha256: str, say: Callable[[str], None]) -> None:
    """Writes weights of another library as a checkpoint, with what the entry says on its card.

    Args:
        entry: Of the zoo; names the network.
        source: The other library's file.
        path: The checkpoint.
        sha256: Of the source, which the card then names.
        say: Told which tensors were renamed and which left over.

    Raises:
        ValueError: When a part of the network, its classifier apart, has no weights in the file.
    """
    model = build_model(entry.backbone, 0, **entry.options).eval()
    report = load_foreign(model, source)
    say(str(report))
    absent = [*report.missing, *report.mismatched]
    if absent:
        raise ValueError(f"{source}: lacks weights of {entry.backbone}: {', '.join(absent[:5])}; it is not used")
    card = Card(
        backbone=entry.backbone,
        options=entry.options,
        num_classes=0,
        embedding_size=entry.embedding_size,
        preprocessing=entry.input,
        config={"source": entry.url, "source_sha256": sha256, "licence": entry.licence, "training": entry.training},
        commit=repository_commit(),
        scores=[
            {key: row[key] for key in row if key not in ("Rank-1", "mAP")}
            | {"scores": {"Rank-1": row["Rank-1"], "mAP": row["mAP"]}}
            for row in entry.scores
        ],
    )
    save_checkpoint(path, model.state_dict(), card)
