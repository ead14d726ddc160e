"""Connections of the HTTP service: slow clients and crowds of them keep nobody else out."""

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serve_runs import MeanColours, ask, encoded, picture, running, send, text64

for package in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package} is not installed (the extra serve)")

GOOD = {"crops": [text64(encoded(picture()))]}


def whole_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of what comes until the other side closes."""
    text = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(4096):
            text += part
    head, _, body = text.partition(b"\r\n\r\n")
    return head, body


def test_half_sent_headers_do_not_use_up_the_connections() -> None:
    with running(MeanColours(), max_connections=3, header_timeout=20) as port:
        held = []
        for _ in range(4):
            held += [send(port, b"GET /") for _ in range(3)]
            assert ask(port, path="/health")[0] == 200 and ask(port, GOOD)[0] == 200
        head, body = whole_answer(held[0])
        assert (
            head.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in head and "too many" in json.loads(body)["error"]
        )
        for connection in held:
            connection.close()


def test_connections_in_work_are_left_alone_and_others_refused() -> None:
    embedder = MeanColours()
    with running(embedder, max_connections=2, max_requests=2) as port, ThreadPoolExecutor(2) as pool:
        embedder.gate.clear()
        found = [pool.submit(ask, port, GOOD) for _ in range(2)]
        time.sleep(0.2)
        status, answer, headers = ask(port, GOOD)
        assert status == 503 and headers["retry-after"] == "1" and "busy: 2 connections" in answer["error"]
        assert ask(port, path="/health")[0] == 200
        embedder.gate.set()
        assert [one.result()[0] for one in found] == [200, 200] and ask(port, GOOD)[0] == 200


def test_the_oldest_waiting_connection_makes_room() -> None:
    from reid.serve_protocol import ConnectionLimit

    class Held:
        def __init__(self, since: float | None) -> None:
            self.waiting_since, self.ended = since, False

        def give_up(self) -> None:
            self.ended = True

    limit = ConnectionLimit(3)
    busy, old, older, new, last = (Held(since) for since in (None, 2.0, 1.0, None, None))
    for connection in (busy, old, older, new, last):
        limit.add(connection)
    assert [one.ended for one in (busy, old, older, new, last)] == [False, True, True, False, False]
    surplus = Held(None)
    limit.add(surplus)
    assert limit.is_surplus(surplus) and not limit.is_surplus(last)
    limit.remove(busy)
    assert not limit.is_surplus(surplus)


def test_without_a_token_no_body_is_waited_for() -> None:
    head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    with running(MeanColours(), "0123456789abcdef", body_timeout=20) as port:
        began = time.monotonic()
        connection = send(port, head)
        first = connection.recv(4096)
        assert first.startswith(b"HTTP/1.1 401") and time.monotonic() - began < 0.8
        whole_answer(connection)  # closed by the service
        assert time.monotonic() - began < 5
        connection.close()


def test_who_does_not_read_is_cut_off() -> None:
    class Wide(MeanColours):
        def __call__(self, crops) -> np.ndarray:
            super().__call__(crops)
            return np.full((len(crops), 200_000), 0.1234567, np.float32)

    body = json.dumps({"crops": GOOD["crops"] * 2}).encode()  # about 8 MB of answer
    head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with running(Wide(), header_timeout=0.4) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(head % len(body) + body)
        for _ in range(200):
            if 'path="/v1/embed",status="200"' in ask(port, path="/metrics")[1]:
                break
            time.sleep(0.05)
        time.sleep(1)
        connection.settimeout(10)
        size = 0
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1 << 20):
                size += len(part)
        assert 0 < size < 7_000_000  # what the kernel held
