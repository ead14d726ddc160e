"""Embeddings over HTTP: crops, or an image with boxes, in; rows of norm 1 out."""

import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reid.config import run_entry_point
from reid.embedder import Embedder
from reid.serve_options import ServeConfig, read_token
from reid.zoo_entries import resolve_source

if TYPE_CHECKING:
    import uvicorn


def open_socket(host: str, port: int) -> socket.socket:
    """Listens on an address; who connects before the server runs waits for it.

    Args:
        host: A name or an address of IPv4 or IPv6.
        port: 0 takes a free one.

    Raises:
        OSError: When the address is in use or not this machine's; the message names it.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, number)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen()
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise OSError(f"host, port: cannot listen on {host}, port {port}: {error}") from error
    return listening


def build_server(embedder: Any, config: ServeConfig, token: str | None = None) -> "uvicorn.Server":
    """Builds the server, which runs on the sockets that its `run` is given.

    Args:
        embedder: An `Embedder`, or what looks like one.
        config: Limits and times.
        token: What clients must send, or None.

    Raises:
        ModuleNotFoundError: When a package of the extra "serve" is missing.
        ValueError: When the embedder needs cameras.
    """
    try:
        import uvicorn

        from reid.serve_app import create_app
        from reid.serve_protocol import ConnectionLimit, timed_protocol
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed; the service needs: pip install fastapi uvicorn prometheus-client"
        ) from error
    settings = uvicorn.Config(
        create_app(embedder, config, token),
        http=timed_protocol(config.header_timeout, ConnectionLimit(config.max_connections)),
        ws="none",
        loop="asyncio",
        # Accepted at once at most: the event loop takes a few turns to a header, in which no whole limit may come.
        backlog=max(16, config.max_connections // 4),
        lifespan="on",
        timeout_keep_alive=max(1, round(config.header_timeout)),
        timeout_graceful_shutdown=max(1, round(config.timeout)),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(settings)


def bound_torch(source: str | os.PathLike[str], threads: int | None) -> None:
    """Bounds the CPU threads of torch in this process, where torch is what runs a file.

    The other engines have threads of each network, which `Embedder` is told of; torch has one number for all.

    Args:
        source: As `Embedder`.
        threads: None leaves torch its own choice.
    """
    if threads is not None and resolve_source(source).suffix in (".safetensors", ".torchscript"):
        import torch

        torch.set_num_threads(threads)


def main(config: ServeConfig) -> None:
    """Serves until the process is told to end by SIGINT or SIGTERM."""
    token = read_token(config.token_file)
    embedder = Embedder(
        config.ckpt,
        device=config.device,
        precision=config.precision,
        batch_size=config.batch_size,
        threads=config.threads,
        camera=config.camera,
        provider=config.provider,
    )
    bound_torch(config.ckpt, config.threads)
    logging.basicConfig(level=logging.WARNING)
    server = build_server(embedder, config, token)
    with open_socket(config.host, config.port) as listening:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {embedder.name} on http://{shown}:{port}", flush=True)
        server.run(sockets=[listening])


if __name__ == "__main__":
    run_entry_point(main, ServeConfig)
