"""The HTTP service over real sockets: right answers, limits, and clients who harm nobody but themselves."""

import base64
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serve_runs import MeanColours, ask, encoded, picture, running, send, text64

from reid.config import parse_config
from reid.embed_boxes import embed_boxes, embed_crops
from reid.serve import bound_torch, main, open_socket
from reid.serve_options import ServeConfig, read_token

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package} is not installed (the extra serve)")


@pytest.fixture(scope="module")
def means() -> MeanColours:
    return MeanColours()


@pytest.fixture(scope="module")
def port(means: MeanColours) -> Iterator[int]:
    options = {"max_body": 400_000, "max_crops": 4, "max_pixels": 20_000, "batch_size": 4, "queue_size": 4}
    times = {"body_timeout": 0.6, "header_timeout": 0.6, "timeout": 2.0}
    with running(means, **options, **times) as found:
        yield found


def rows(answer: dict) -> np.ndarray:
    return np.array(answer["embeddings"], np.float32).reshape(answer["shape"])


def test_crops_of_a_network_are_embedded_as_by_the_embedder(checkpoint: Path) -> None:
    from reid.embedder import Embedder

    embedder = Embedder(checkpoint, device="cpu")
    crops = [picture(40 + i, 20 + i, seed=i) for i in range(3)]
    frame, boxes = picture(90, 120), [[10, 5, 50, 85], [-20, 0, 20, 40], [200, 0, 220, 20]]
    with running(embedder) as port:
        status, answer, _ = ask(port, {"crops": [text64(encoded(crop)) for crop in crops]})
        assert status == 200 and answer["shape"] == [3, 512] and answer["quality"] == [1, 1, 1]
        assert np.allclose(rows(answer), embed_crops(embedder, crops).embeddings, atol=1e-5)
        (expected,) = embed_boxes(embedder, [frame], [np.array(boxes)])
        for kind in (".png", ".bmp"):
            status, answer, _ = ask(port, {"image": text64(encoded(frame, kind)), "boxes": boxes})
            assert status == 200 and answer["quality"] == [1, 0.5, 0]
            assert np.allclose(rows(answer), expected.embeddings, atol=1e-5)
        query = ";".join(",".join(map(str, box)) for box in boxes)
        status, same, _ = ask(port, encoded(frame), f"/v1/embed?boxes={query}&encoding=base64", "image/png")
        table = np.frombuffer(base64.b64decode(same["embeddings"]), "<f4").reshape(same["shape"])
        assert status == 200 and np.allclose(table, rows(answer), atol=1e-6)


def test_a_plain_image_is_one_crop(port: int) -> None:
    image = picture()
    status, answer, _ = ask(port, encoded(image), kind="image/png")
    assert status == 200 and np.allclose(rows(answer), MeanColours()([MeanColours.preprocessing.resize(image)]))
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(turned, "JPEG", exif=exif, quality=95)
    query = "/v1/embed?boxes=0,0,60,80"  # upright it is 60 wide and 80 high
    assert ask(port, turned.getvalue(), query, "image/jpeg")[1]["quality"] == [1]


def test_nothing_to_embed_is_no_error(port: int) -> None:
    assert ask(port, {"crops": []})[1]["shape"] == [0, 3]
    status, answer, _ = ask(port, {"image": text64(encoded(picture())), "boxes": [[5, 5, 5, 9]]})
    assert status == 200 and answer["embeddings"] == [[0, 0, 0]] and answer["quality"] == [0]


def test_health_and_metrics(port: int, means: MeanColours) -> None:
    assert ask(port, path="/health")[:2] == (
        *(200, {"status": "ok", "model": "means", "dimension": 3, "height": 32, "width": 16}),
    )
    ask(port, {"crops": [text64(encoded(picture()))] * 3})
    status, text, _ = ask(port, path="/metrics")
    assert status == 200 and re.search(r'reid_requests_total\{path="/v1/embed",status="200"\} \d', text)
    for name in (
        "reid_batch_crops_bucket",
        "reid_batch_seconds_sum",
        "reid_queue_crops 0.0",
        "reid_requests_in_flight",
    ):
        assert name in text, name
    assert float(re.findall(r"reid_crops_total (\d\S*)", text)[0]) >= 3
    status, answer, _ = ask(port, path="/nothing")
    assert status == 404 and answer["error"].endswith("allowed: POST /v1/embed, GET /health, /metrics")
    assert ask(port, path="/v1/embed")[0] == 405
    assert 'path="other",status="404"' in ask(port, path="/metrics")[1]


GOOD = {"crops": [text64(encoded(picture()))]}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 422, "body: Invalid JSON"),
        (b"[" * 100_000, 422, "Invalid JSON"),
        (b"\xff\xfe", 422, "Invalid JSON"),
        ({}, 422, "neither crops nor image"),
        ({"crops": [1]}, 422, "crops.0: Input should be a valid string"),
        ({"crops": ["###"]}, 422, "crops.0: no base64"),
        ({"crops": [text64(b"no image at all")]}, 422, "crops.0: no image of JPEG, PNG, WEBP, BMP"),
        ({"crops": [GOOD["crops"][0], ""]}, 422, "crops.1: no image"),
        ({"crops": [text64(encoded(picture())[:3000])]}, 422, "the PNG file is cut off"),
        ({"crops": [text64(encoded(picture(), ".jpg")[:2000])]}, 422, "the JPEG file is cut off"),
        ({**GOOD, "boxes": []}, 422, "crops together with"),
        ({**GOOD, "more": 1}, 422, "more: Extra inputs"),
        ({"image": GOOD["crops"][0], "boxes": [[1, 2, 3]]}, 422, "boxes.0: got 3 numbers"),
        ({"image": GOOD["crops"][0], "boxes": [["a", 2, 3, 4]]}, 422, "boxes.0.0: Input should be a valid number"),
        ({"crops": GOOD["crops"] * 5}, 413, "crops: got 5, allowed: 4"),
        ({"crops": [text64(encoded(picture(80, 80)))] * 4}, 413, "crops.3: got 6400 pixels, allowed: 800"),
        ({"image": text64(encoded(picture(10, 10))), "boxes": [[0, 0, 9, 9]] * 5}, 413, "boxes: got 5"),
        (b"x" * 400_001, 413, "body: got 400001 bytes, allowed: 400000"),
    ],
)
def test_malformed_and_oversized_requests_are_answered(port: int, body, status: int, message: str) -> None:
    got, answer, _ = ask(port, body)
    assert got == status and message in answer["error"], answer
    assert ask(port, GOOD)[0] == 200


def test_other_refusals(port: int) -> None:
    assert ask(port, b"x", kind="text/plain")[0] == 415
    assert ask(port, GOOD, "/v1/embed?encoding=hex")[0] == 422
    assert ask(port, encoded(picture()), "/v1/embed?boxes=1,2,x,4", "image/png")[0] == 422
    bad = encoded(picture(20, 20), ".bmp")[:200]
    assert ask(port, bad, kind="image/bmp")[0] == 422


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_a_small_file_of_a_huge_image_is_refused_before_it_is_decoded(port: int) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    began = time.monotonic()
    status, answer, _ = ask(port, bomb, kind="image/png")
    assert status == 413 and "60000" in answer["error"].replace("3600000000", "60000")
    assert time.monotonic() - began < 2


def test_a_body_without_a_length_is_cut_at_the_limit(port: int) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * 100_000

    assert ask(port, pieces())[0] == 413


def test_slow_clients_are_answered_and_the_others_do_not_wait(port: int) -> None:
    head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n"
    slow = [send(port, b"") for _ in range(8)]  # no header at all
    slow += [send(port, head) for _ in range(8)]  # half a header
    slow += [send(port, head + b'\r\n{"crops"') for _ in range(8)]  # half a body
    began = time.monotonic()
    for _ in range(5):
        assert ask(port, GOOD)[0] == 200
    assert time.monotonic() - began < 2
    for number, connection in enumerate(slow):
        text = b""
        while part := connection.recv(4096):
            text += part
        assert text.startswith(b"HTTP/1.1 408"), (number, text)
        connection.close()


def test_a_header_that_drips_is_cut_off(port: int) -> None:
    connection = send(port, b"GET /health HTTP/1.1\r\n")
    began = time.monotonic()
    with pytest.raises(OSError):
        for number in range(100):
            connection.sendall(b"x-%d: y\r\n" % number)
            time.sleep(0.05)
    assert time.monotonic() - began < 4
    connection.close()


def test_who_hangs_up_harms_nobody(port: int) -> None:
    head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    for _ in range(5):
        send(port, head).close()
    send(port, b"\x16\x03\x01 this is no HTTP\r\n\r\n").close()
    assert ask(port, GOOD)[0] == 200


def test_a_busy_service_refuses_and_recovers(port: int, means: MeanColours) -> None:
    means.gate.clear()
    try:
        with ThreadPoolExecutor(12) as pool:
            found = [pool.submit(ask, port, GOOD) for _ in range(12)]
            for _ in range(400):
                if sum(one.done() for one in found) >= 7:  # one in the network, at most four wait
                    break
                time.sleep(0.005)
            means.gate.set()
            statuses = sorted(one.result()[0] for one in found)
            refused = [one.result() for one in found if one.result()[0] == 503]
    finally:
        means.gate.set()
    # 504 where the machine itself is busy: some wait for longer than they may.
    assert {503} <= set(statuses) <= {200, 503, 504} and statuses.count(200) <= 8
    assert all(headers["retry-after"] == "1" and "busy" in answer["error"] for _, answer, headers in refused)
    assert ask(port, GOOD)[0] == 200


def test_what_takes_too_long_is_answered(means: MeanColours) -> None:
    embedder = MeanColours()
    with running(embedder, timeout=0.3, max_requests=1) as port:
        embedder.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(ask, port, GOOD)
            time.sleep(0.1)
            status, answer, _ = ask(port, GOOD)
            assert status == 503 and "1 requests in work" in answer["error"]
            assert first.result()[0] == 504
        embedder.gate.set()
        assert ask(port, GOOD)[0] == 200


def test_requests_share_batches(means: MeanColours) -> None:
    embedder = MeanColours()
    with running(embedder, batch_size=8) as port:
        embedder.gate.clear()
        images = [picture(20, 20, seed) for seed in range(7)]
        with ThreadPoolExecutor(7) as pool:
            found = [pool.submit(ask, port, encoded(image), kind="image/png") for image in images]
            time.sleep(0.5)
            embedder.gate.set()
            answers = [one.result() for one in found]
        assert sum(embedder.calls) == 8 and max(embedder.calls) >= 3  # with the warm-up
        for image, (status, answer, _) in zip(images, answers, strict=True):
            assert status == 200
            assert np.allclose(rows(answer), MeanColours()([MeanColours.preprocessing.resize(image)]), atol=1e-6)


def test_a_failing_network_is_an_answer_without_its_innards() -> None:
    class Failing(MeanColours):
        def __call__(self, crops) -> np.ndarray:
            if self.calls:
                raise RuntimeError("secret")
            return super().__call__(crops)

    with running(Failing()) as port:
        status, answer, _ = ask(port, GOOD)
        assert (status, answer) == (500, {"error": "internal error"})
        assert ask(port, path="/health")[0] == 200


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    token = "-".join(["01234567"] * 3)
    (tmp_path / "token").write_text(token + "\n")
    with running(MeanColours(), read_token(tmp_path / "token"), max_body=10_000) as port:
        for headers in ({}, {"authorization": "Bearer 0123456701234567"}, {"authorization": token}):
            status, answer, found = ask(port, GOOD, **headers)
            assert status == 401 and found["www-authenticate"] == "Bearer" and token not in str(answer)
        assert ask(port, b"x" * 30_000)[0] == 401 and ask(port, path="/metrics")[0] == 401
        assert ask(port, path="/health")[0] == 200
        small = {"crops": [text64(encoded(picture(20, 10)))]}
        assert ask(port, small, authorization=f"Bearer {token}")[0] == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "token_file: got none for host 0.0.0.0"),  # noqa: S104 - it is refused
        ({"host": "example.org"}, "token_file: got none for host example.org"),
        ({"host": "::"}, "token_file"),
        ({"port": 70000}, "port: got 70000"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"queue_size": 20}, "queue_size: got 20"),
        ({"max_wait": -1.0}, "max_wait: got -1.0"),
        ({"timeout": 0.0}, "timeout: got 0.0"),
        ({"decoders": 0}, "decoders: got 0"),
        ({"threads": 0}, "threads: got 0"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ServeConfig(Path("a.onnx"), **options)


def test_loopback_needs_no_token_and_tokens_are_long(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        assert parse_config(ServeConfig, ["--ckpt", "a.onnx", "--host", host]).host == host
    assert ServeConfig(Path("a"), host="10.0.0.1", token_file=tmp_path / "token").port == 8765
    with pytest.raises(FileNotFoundError, match="no such file of a token"):
        read_token(tmp_path / "token")
    for text in ("short", "0123456789 abcdefgh", "0123456789abcdef\n0123456789abcdef", ""):
        (tmp_path / "token").write_text(text)
        with pytest.raises(ValueError, match="allowed: 16 or more"):
            read_token(tmp_path / "token")


def test_the_command_serves_until_it_is_told_to_end(checkpoint: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "reid.serve", "--ckpt", str(checkpoint), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            port = int(re.fullmatch(r"serving model.safetensors on http://127.0.0.1:(\d+)\n", line)[1])
            assert ask(port, GOOD)[1]["shape"] == [1, 512]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    with socket.socket() as taken, pytest.raises(OSError, match="cannot listen on"):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        open_socket("127.0.0.1", taken.getsockname()[1])


def test_the_command_passes_on_what_the_embedder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict = {}

    class Needing(MeanColours):
        needs_cameras = True

        def __init__(self, source, **options) -> None:
            super().__init__()
            told.update(options, source=source)

    monkeypatch.setattr("reid.serve.Embedder", Needing)
    options = ["--device", "cpu", "--precision", "bf16", "--batch-size", "3", "--threads", "2", "--camera", "1"]
    options += ["--provider", "openvino"]
    with pytest.raises(ValueError, match="camera: got none, allowed: the camera of all crops"):
        main(parse_config(ServeConfig, ["--ckpt", "a.onnx", *options]))
    expected = {"device": "cpu", "precision": "bf16", "batch_size": 3, "threads": 2, "camera": 1}
    expected["provider"] = "openvino"
    assert told == expected | {"source": Path("a.onnx")}


def test_threads_bound_torch_where_torch_runs_the_network() -> None:
    import torch

    def seen() -> int:  # as the batcher's thread, which is begun later, sees it
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    try:
        for source, threads, expected in (
            ("a.onnx", 3, before),
            ("a.safetensors", None, before),
            ("a.safetensors", 3, 3),
        ):
            bound_torch(source, threads)
            assert seen() == expected, source
    finally:
        torch.set_num_threads(before)


def test_damaged_files_name_themselves(port: int) -> None:
    damaged = bytearray(encoded(picture()))
    damaged[len(damaged) // 2] ^= 0x55
    for bad in (bytes(damaged), encoded(picture(), ".jpg")[:2000]):
        status, answer, _ = ask(port, {"crops": [GOOD["crops"][0], text64(bad)]})
        assert status == 422 and answer["error"].startswith("crops.1: ")


def test_threads_end_with_the_service() -> None:
    before = threading.active_count()
    with running(MeanColours()) as port:
        assert ask(port, GOOD)[0] == 200
    assert threading.active_count() <= before
