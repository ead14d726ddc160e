"""The options of the HTTP service, and what they allow together."""

import dataclasses
import ipaddress
from pathlib import Path

SHORTEST_TOKEN = 16


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Serves embeddings over HTTP: POST /v1/embed, GET /health, GET /metrics (Prometheus).

    A body of application/json is {"crops": [BASE64, ...]} or {"image": BASE64, "boxes": [[LEFT, TOP, RIGHT, BOTTOM],
    ...]}, a body of image/* is one image, with ?boxes=LEFT,TOP,RIGHT,BOTTOM;... where it is not a crop itself. Images
    are JPEG, PNG, WebP or BMP; boxes are in pixels of the image as it is shown (EXIF turns it). The answer holds
    "embeddings", a list of rows of norm 1 (?encoding=base64: float32, little-endian), and "quality", the share of each
    box inside the image; a box that cannot be embedded, or a crop with a side of one pixel, has zeros and quality 0.

    A file that cannot be read fails its whole request with 422, which names it ("crops.1: ..."): one that is no base64,
    of another format, cut off, or damaged where its decoder finds it, which in a PNG is everywhere. A JPEG or WebP that
    is damaged in the middle mostly decodes to a wrong picture, and nobody is told.

    Errors are {"error": TEXT}: 400, 415 and 422 malformed, 401 without the token, 408 too slow, 413 too large, 503 busy
    (try again after Retry-After seconds), 504 not done in time. There is no encryption: put a proxy in front for that.

    Raises:
        ValueError: When an option is out of its range, or the address needs a token.
    """

    ckpt: Path
    """A .safetensors checkpoint or an exported file."""
    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback one asks for --token-file."""
    port: int = 8765
    """Port to listen on; 0 takes a free one, which is printed."""
    token_file: Path | None = None
    """A file with the token that clients send as "Authorization: Bearer TOKEN"; /health is open to all."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: str = "fp32"
    """fp32, bf16 or fp16."""
    provider: str = "auto"
    """What runs an .onnx file: auto, cpu, cuda, tensorrt or openvino."""
    threads: int | None = None
    """CPU threads of the network; None takes one a core."""
    camera: int | None = None
    """The camera of all crops, for a network with camera vectors."""
    batch_size: int = 32
    """Crops that are embedded together at most."""
    queue_size: int = 256
    """Crops that may wait; a request that finds no room is answered 503."""
    max_wait: float = 0.0
    """Seconds that a request waits for others while the network is idle; without, batches grow with the load alone."""
    max_requests: int = 64
    """Requests that are worked on at once, and times --max-body the memory for bodies; others are answered 503."""
    max_connections: int = 256
    """Connections. For a new one that goes which has waited longest without a request in work (no whole header, or
    nothing since its last answer); where all are in work, its requests are answered 503, but for /health."""
    max_body: int = 8 * 2**20
    """Bytes of a body."""
    max_crops: int = 64
    """Crops or boxes of a request."""
    max_pixels: int = 2**24
    """Pixels of all images of a request together."""
    decoders: int = 2
    """Threads that decode images."""
    header_timeout: float = 5.0
    """Seconds for a request's header to come, and for a client to take more of its answer."""
    body_timeout: float = 10.0
    """Seconds for a request's body to come."""
    timeout: float = 10.0
    """Seconds from the end of the body to the answer."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port: got {self.port}, allowed: 0 to 65535")
        for name in (
            "batch_size",
            "threads",
            "max_requests",
            "max_connections",
            "max_body",
            "max_crops",
            "max_pixels",
            "decoders",
        ):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: 1 or more")
        if self.queue_size < max(self.batch_size, self.max_crops):
            raise ValueError(
                f"queue_size: got {self.queue_size}, allowed: batch_size ({self.batch_size}) and max_crops "
                f"({self.max_crops}) or more"
            )
        if not 0 <= self.max_wait < 60:
            raise ValueError(f"max_wait: got {self.max_wait}, allowed: 0 to 60 seconds")
        for name in ("header_timeout", "body_timeout", "timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: above 0 seconds")
        if self.token_file is None and not is_loopback(self.host):
            raise ValueError(
                f"token_file: got none for host {self.host}, which others can reach; allowed: a file with a token, or "
                "a loopback address such as 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Returns whether an address is reachable from this machine only; a name other than localhost is not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(path: Path | None) -> str | None:
    """Reads a token.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is short, of several lines or not ASCII; the message does not show it.
    """
    if path is None:
        return None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of a token")
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"{path}: got {len(token)} characters, allowed: {SHORTEST_TOKEN} or more, ASCII, without spaces"
        )
    return token
