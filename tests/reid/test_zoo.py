"""The zoo: entries and cards agree, names become files, downloads are checked before they are used."""

import dataclasses
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.config import parse_config
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.inference_options import InferenceConfig
from reid.models import build_model
from reid.models.zoo import differences, main, verify
from reid.records import file_sha256
from reid.reid_model import ReIDModel
from reid.robustness import RobustnessConfig
from reid.zoo_entries import ZOO, ZooEntry, brief_scores, read_zoo, resolve_source, write_zoo
from reid.zoo_fetch import by_hand, fetch

COMMITTED = {name: entry for name, entry in read_zoo().items() if entry.url is None}
SIZE = Preprocessing(64, 32)
ENTRY = ZooEntry("small", "osnet_x0_25", {}, SIZE, 512, "small.safetensors", "MIT", "a world", "MIT", "not at all")
SCORES = {"dataset": "world-hard", "split": "query", "distance": "Euclidean", "protocol": "inductive"}


def write_checkpoint(path: Path) -> Card:
    torch.manual_seed(0)
    card = Card("osnet_x0_25", {}, 0, 512, SIZE, scores=[SCORES | {"scores": {"Rank-1": 0.51234, "mAP": 0.25}}])
    save_checkpoint(path, build_model("osnet_x0_25").state_dict(), card)
    return card


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A zoo of one network, whose file lies there."""
    card = write_checkpoint(tmp_path / "small.safetensors")
    entry = dataclasses.replace(
        ENTRY, scores=tuple(brief_scores(card.scores)), sha256=file_sha256(tmp_path / "small.safetensors")
    )
    write_zoo({"small": entry}, tmp_path / "zoo.yaml")
    return tmp_path / "zoo.yaml"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An address on this machine, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()


def test_the_zoo_is_small_and_complete() -> None:
    paths = [ZOO.parent / entry.file for entry in COMMITTED.values()]
    assert all(path.is_file() for path in paths)
    assert sum(path.stat().st_size for path in paths) <= 40e6
    for entry in read_zoo().values():
        assert entry.licence and entry.training_data and entry.training_data_licence and entry.training
        assert entry.sha256 is not None or entry.url is not None
        assert entry.backbone.startswith("timm:") or build_model(entry.backbone, **entry.options).embedding_size


@pytest.mark.parametrize("name", sorted(COMMITTED) or [pytest.param("", marks=pytest.mark.skip("none committed"))])
def test_entries_agree_with_cards_and_embed(name: str) -> None:
    entry = COMMITTED[name]
    assert verify(entry, ZOO.parent)
    card = load_checkpoint(ZOO.parent / entry.file)[1]
    assert all("Market" not in row["dataset"] for row in entry.scores) == ("world" in entry.training_data)
    assert card.config["licence"] == entry.licence and entry.training.startswith(card.config["training"])


def test_an_entry_comes_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    write_zoo({"small": ENTRY}, path)
    assert read_zoo(path) == {"small": ENTRY}
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml: no such zoo"):
        read_zoo(tmp_path / "absent.yaml")
    for change, message in (
        ({"colour": 1}, r"zoo\.yaml: small: unknown: colour; missing: nothing"),
        ({"file": "../small.safetensors"}, r"file: got \.\./small\.safetensors, allowed: a \.safetensors file in the"),
        ({"file": "small.onnx"}, "file: got small.onnx"),
        ({"url": "ftp://there/small.pth"}, "url: got ftp://there/small.pth, allowed: http"),
        ({"sha256": "abc"}, "sha256: got 'abc', allowed: 64 hexadecimal digits"),
        ({"input": {"height": 3}}, "small: input: preprocessing: lacks mean, std, width"),
        ({"scores": [{"mAP": 0.5}]}, "small: scores: got {'mAP': 0.5}, allowed: dataset, split"),
    ):
        with pytest.raises(ValueError, match=message):
            ZooEntry.from_dict("small", ENTRY.to_dict() | change, str(path))
    with pytest.raises(ValueError, match="missing: backbone, embedding_size"):
        ZooEntry.from_dict("small", {}, str(path))
    with pytest.raises(ValueError, match="name: got 'a/b', allowed: letters"):
        ZooEntry.from_dict("a/b", ENTRY.to_dict(), str(path))
    for text, message in (("a: [", "not valid YAML"), ("[1]", "got list, allowed: a mapping")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_zoo(path)


def test_names_become_files(zoo: Path) -> None:
    assert resolve_source("zoo:small", zoo) == zoo.parent / "small.safetensors"
    assert resolve_source(Path("zoo:small"), zoo) == zoo.parent / "small.safetensors"
    assert resolve_source("some/file.onnx", zoo) == Path("some/file.onnx")
    with pytest.raises(ValueError, match="zoo: got 'smal', allowed: small"):
        resolve_source("zoo:smal", zoo)
    (zoo.parent / "small.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="it came with the repository"):
        resolve_source("zoo:small", zoo)
    write_zoo({"small": dataclasses.replace(ENTRY, url="http://there/small.pth")}, zoo)
    with pytest.raises(FileNotFoundError, match=r"zoo:small is not there: python -m reid\.models\.zoo fetch small"):
        resolve_source("zoo:small", zoo)


def test_names_are_taken_wherever_a_file_is(zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The zoo's own file is a default argument of those who read it.
    monkeypatch.setattr(resolve_source, "__defaults__", (zoo,))
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    path = zoo.parent / "small.safetensors"
    expected = Embedder(path, device="cpu")([image])
    assert np.array_equal(Embedder("zoo:small", device="cpu")([image]), expected)
    assert np.array_equal(ReIDModel.from_checkpoint("zoo:small", device="cpu")([image]), expected)
    assert load_checkpoint("zoo:small")[1].backbone == "osnet_x0_25"
    inference = parse_config(InferenceConfig, ["--root", ".", "--ckpt", "zoo:small"])
    assert inference.source.ckpt == path
    robustness = parse_config(RobustnessConfig, ["--root", ".", "--ckpt", "zoo:small", "other.onnx"])
    assert robustness.ckpt == (path, Path("other.onnx"))
    with pytest.raises(ValueError, match="zoo: got 'other', allowed: small"):
        parse_config(InferenceConfig, ["--root", ".", "--ckpt", "zoo:other"])
    with pytest.raises(ValueError, match="zoo: got 'other', allowed: small"):
        Embedder("zoo:other")


def test_list_show_verify(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--zoo", str(zoo)]
    assert main([*command, "list"]) == 0
    listed = capsys.readouterr().out
    assert "small (here): osnet_x0_25, 64 x 32, 512 numbers, MIT" in listed
    assert "world-hard, Euclidean, inductive: Rank-1 51.2, mAP 25.0" in listed
    assert main([*command, "verify"]) == 0
    assert "small: good; sha256 " in capsys.readouterr().out
    # The card wins where the two differ, and verify says so.
    entry = read_zoo(zoo)["small"]
    write_zoo({"small": dataclasses.replace(entry, embedding_size=3, input=Preprocessing(32, 16))}, zoo)
    assert main([*command, "show", "small"]) == 0
    shown = capsys.readouterr().out
    assert "embedding_size: 512" in shown and "height: 64" in shown and "licence: MIT" in shown
    assert main([*command, "verify", "small"]) == 1
    assert "embedding_size: zoo.yaml says 3, the card 512" in capsys.readouterr().err
    write_zoo({"small": dataclasses.replace(entry, sha256=None)}, zoo)
    assert main([*command, "verify"]) == 0
    assert "no checksum on record" in capsys.readouterr().out
    with open(zoo.parent / "small.safetensors", "ab") as file:
        file.write(b" ")
    write_zoo({"small": entry}, zoo)
    assert main([*command, "verify"]) == 1
    assert "small.safetensors" in capsys.readouterr().err
    assert main([*command, "show", "other"]) == 2
    assert "zoo: got 'other', allowed: small" in capsys.readouterr().err


def test_a_checkpoint_is_fetched_once(server: tuple[str, Path], tmp_path: Path) -> None:
    address, served = server
    card = write_checkpoint(served / "small.safetensors")
    sha256 = file_sha256(served / "small.safetensors")
    scores = tuple(brief_scores(card.scores))
    entry = dataclasses.replace(ENTRY, url=f"{address}/small.safetensors", sha256=sha256, scores=scores)
    said: list[str] = []
    folder = tmp_path / "zoo"
    with pytest.raises(ValueError, match=r"http\S+: sha256: got \S+, allowed: 0{64}; this is another file"):
        fetch(dataclasses.replace(entry, sha256="0" * 64), folder, said.append)
    assert list(folder.iterdir()) == []
    path = fetch(entry, folder, said.append)
    assert path.name == "small.safetensors" and verify(entry, folder) and said[-1].endswith("ready: zoo:small")
    (served / "small.safetensors").unlink()
    said.clear()
    assert fetch(entry, folder, said.append) == path and "nothing is downloaded" in said[0]
    with pytest.raises(ValueError, match="small: has no url"):
        fetch(ENTRY, folder, said.append)


def test_weights_of_another_library_become_a_checkpoint(server: tuple[str, Path], tmp_path: Path) -> None:
    address, served = server
    torch.manual_seed(1)
    model = build_model("osnet_x0_25", 5).eval()
    state = {name.removeprefix("head."): tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, served / "theirs.pth")
    entry = dataclasses.replace(
        ENTRY, url=f"{address}/theirs.pth", scores=(SCORES | {"Rank-1": 0.6, "mAP": 0.3},), file="fetched/s.safetensors"
    )
    said: list[str] = []
    path = fetch(entry, tmp_path / "zoo", said.append)
    sha256 = file_sha256(served / "theirs.pth")
    assert any(f"sha256 {sha256}: there is none on record for small" in line for line in said)
    assert any("without a place in the model: head.classifier.weight" in line for line in said)
    assert "no checksum on record" in verify(entry, tmp_path / "zoo")[0]
    assert verify(dataclasses.replace(entry, sha256=sha256), tmp_path / "zoo")
    with pytest.raises(ValueError, match="sha256: got"):
        verify(dataclasses.replace(entry, sha256="0" * 64), tmp_path / "zoo")
    assert not by_hand(entry, tmp_path / "zoo").exists() and differences(entry, load_checkpoint(path)[1]) == []
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    expected = Embedder.from_model(model, SIZE)([image])
    assert np.allclose(Embedder(path, device="cpu")([image]), expected, atol=1e-6)
    # A file that lacks a part of the network is not used.
    torch.save({name: tensor for name, tensor in state.items() if "conv5" not in name}, served / "part.pth")
    part = dataclasses.replace(entry, url=f"{address}/part.pth", file="part.safetensors")
    with pytest.raises(ValueError, match="lacks weights of osnet_x0_25: conv5"):
        fetch(part, tmp_path / "zoo", said.append)
    assert not (tmp_path / "zoo" / "part.safetensors").exists()


@pytest.mark.parametrize("fault", ["absent", "nobody there", "cut short"])
def test_a_failed_download_says_where_to_put_the_file_by_hand(
    fault: str, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = server
    url = "http://127.0.0.1:9/small.pth" if fault == "nobody there" else f"{address}/small.pth"
    if fault == "cut short":
        (served / "small.pth").write_bytes(b"abc")
        send: Callable[..., None] = http.server.SimpleHTTPRequestHandler.send_header

        def promise(self: http.server.SimpleHTTPRequestHandler, name: str, value: str) -> None:
            send(self, name, "300" if name == "Content-Length" else value)

        monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "send_header", promise)
    entry = dataclasses.replace(ENTRY, url=url)
    with pytest.raises(OSError, match=r"small\.pth: could not be downloaded") as error:
        fetch(entry, tmp_path / "zoo", lambda text: None)
    assert f"put it at {tmp_path / 'zoo' / 'small.pth'}" in str(error.value) and "fetch small" in str(error.value)
    assert list((tmp_path / "zoo").iterdir()) == []
    # What was put there by hand is taken, and stays.
    model = build_model("osnet_x0_25")
    torch.save(model.state_dict(), tmp_path / "zoo" / "small.pth")
    path = fetch(entry, tmp_path / "zoo", lambda text: None)
    assert path.is_file() and (tmp_path / "zoo" / "small.pth").is_file()
