"""A service on a free port of this machine, and a plain client."""

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from reid.data.images import Preprocessing
from reid.serve import build_server, open_socket
from reid.serve_options import ServeConfig


class MeanColours:
    """Embeds a crop as its mean colour; waits for the gate."""

    preprocessing = Preprocessing(32, 16)
    name = "means"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, crops) -> np.ndarray:
        self.calls.append(len(crops))
        assert self.gate.wait(20)
        rows = np.stack([crop.reshape(-1, 3).mean(axis=0) + 1 for crop in crops]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@contextmanager
def running(embedder: Any, token: str | None = None, **options: Any) -> Iterator[int]:
    """Runs a service and yields its port."""
    server = build_server(embedder, ServeConfig("unused.onnx", port=0, **options), token)
    with open_socket("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            for _ in range(2000):
                if server.started:
                    break
                time.sleep(0.005)
            assert server.started
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def ask(
    port: int, body: Any = None, path: str = "/v1/embed", kind: str = "application/json", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Sends one request and returns status, JSON (or text) and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        method = "GET" if data is None else "POST"
        connection.request(method, path, data, {"content-type": kind} | headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(text) if "json" in found.get("content-type", "") else text, found
    finally:
        connection.close()


def encoded(image: np.ndarray, kind: str = ".png") -> bytes:
    """Returns uint8 RGB (H, W, 3) as an image file."""
    return cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def text64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def picture(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def send(port: int, data: bytes) -> socket.socket:
    """Returns a connection over which these bytes were sent."""
    found = socket.create_connection(("127.0.0.1", port), timeout=10)
    found.sendall(data)
    return found
