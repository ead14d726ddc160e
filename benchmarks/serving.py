"""Load test of the HTTP service: requests a second and latency against the number of clients, on loopback.

python benchmarks/serving.py                                     two minutes; the network is zoo:reidlite_world
python benchmarks/serving.py --ckpt runs/mine.onnx --clients 1 8 64 --batch-size 1 32 --hostile 32

Each client keeps one connection and sends the next request when the answer to the last is there (a closed loop); a
request holds --crops JPEG files of --height x --width as JSON. All clients run in one other process than the service,
with a thread each, and share the machine with it. --batch-size takes several values: 1 embeds each crop by itself. Each
has a service of its own, and they take turns, so that what else the machine does meets all of them; a rate is the
median over the rounds, latencies are those of all rounds together. --hostile measures each also while so many
connections send half a request and one client sends oversized and malformed ones without a pause; they are not counted.
"""

import argparse
import base64
import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
_JSON = {"content-type": "application/json"}


@dataclass
class Load:
    """What clients met.

    Attributes:
        seconds: Of each answered request.
        statuses: How often each status came; 0 is a broken connection.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        """Counts one request; only status 200 counts as answered."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == 200:
            self.seconds.append(seconds)


@contextmanager
def service(ckpt: str, options: Sequence[str]) -> Iterator[int]:
    """Runs the service in a process of its own and yields its port."""
    command = [sys.executable, "-m", "reid.serve", "--ckpt", ckpt, "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)$", process.stdout.readline().strip())
            if found is None:
                raise ValueError(f"{ckpt}: the service did not start")
            yield int(found[1])
        finally:
            process.terminate()


def request_body(crops: int, height: int, width: int) -> bytes:
    """Returns the JSON of one request: that many JPEG files of smooth random crops."""
    import cv2

    random = np.random.default_rng(0)
    files = []
    for _ in range(crops):
        image = cv2.resize(random.integers(0, 256, (8, 4, 3), dtype=np.uint8), (width, height))
        files.append(base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode())
    return json.dumps({"crops": files}).encode()


def _client(port: int, body: bytes, ending: float, load: Load, lock: threading.Lock) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while (began := time.perf_counter()) < ending:
        try:
            connection.request("POST", "/v1/embed?encoding=base64", body, _JSON)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        with lock:
            load.add(status, time.perf_counter() - began)
        if status != 200:
            time.sleep(0.05)
    connection.close()


def measure(port: int, body: bytes, clients: int, seconds: float) -> Load:
    """Runs clients for a while and returns what they met."""
    load, lock = Load(), threading.Lock()
    ending = time.perf_counter() + seconds
    threads = [threading.Thread(target=_client, args=(port, body, ending, load, lock)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load


@contextmanager
def hostile_clients(port: int, count: int) -> Iterator[None]:
    """Keeps connections with half a request open, and sends malformed and oversized ones, while the block runs."""
    done = threading.Event()

    def stall() -> None:
        while not done.is_set():
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n")
                connection.settimeout(0.2)
                while not done.is_set():
                    try:
                        if not connection.recv(4096):
                            break
                    except TimeoutError:
                        continue
                    except OSError:
                        break

    def offend() -> None:
        while not done.is_set():
            for body in (b"{", b'{"crops": ["xx"]}', b"x" * (10 * 2**20)):
                _client(port, body, time.perf_counter() + 1e-3, Load(), threading.Lock())

    threads = [threading.Thread(target=stall) for _ in range(count)]
    threads += [threading.Thread(target=offend)] if count else []
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def row(name: Sequence[str], crops: int, loads: Sequence[Load], seconds: float) -> list[str]:
    """Returns the cells of one setting, measured in rounds of so many seconds."""
    answered = [second for load in loads for second in load.seconds]
    statuses: dict[int, int] = {}
    for load in loads:
        for status, count in load.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    others = ", ".join(f"{status or 'broken'}: {count}" for status, count in sorted(statuses.items()) if status != 200)
    rate = statistics.median(len(load.seconds) for load in loads) / seconds
    latencies = [f"{1000 * float(np.percentile(answered, share)):.1f}" if answered else "-" for share in (50, 99)]
    return [*name, f"{rate:.0f}", f"{rate * crops:.0f}", *latencies, str(len(answered)), others or "-"]


def measure_all(arguments: argparse.Namespace) -> None:
    """Runs a service for each batch size and prints the table, a row when it is known."""
    body = request_body(arguments.crops, arguments.height, arguments.width)
    columns = ["batch", "hostile", "clients", "requests/s", "crops/s", "p50, ms", "p99, ms", "answered", "others"]
    print("\n".join(f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns))), flush=True)
    hostile = sorted({0, arguments.hostile})
    with ExitStack() as stack:
        ports = {}
        for size in arguments.batch_size:
            options = ["--batch-size", str(size), *arguments.options.split()]
            ports[size] = stack.enter_context(service(arguments.ckpt, options))
            measure(ports[size], body, max(arguments.clients), 1.0)  # warm
        for clients in arguments.clients:
            found: dict[tuple[int, int], list[Load]] = {(size, bad): [] for size in ports for bad in hostile}
            for _ in range(arguments.rounds):
                for (size, bad), loads in found.items():
                    with hostile_clients(ports[size], bad):
                        loads.append(measure(ports[size], body, clients, arguments.seconds))
            for (size, bad), loads in found.items():
                cells = row((str(size), str(bad), str(clients)), arguments.crops, loads, arguments.seconds)
                print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="zoo:reidlite_world")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--crops", type=int, default=1, help="of a request")
    parser.add_argument("--height", type=int, default=160, help="of a crop")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hostile", type=int, default=0, help="connections that send half a request")
    parser.add_argument("--options", default="", help="more options of the service, in one string")
    arguments = parser.parse_args()
    try:
        measure_all(arguments)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
