"""The HTTP service's application: limits, time and tokens around a batcher."""

import asyncio
import base64
import contextlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from reid.batching import Batcher, BatcherClosed, QueueFull
from reid.data.images import Preprocessing
from reid.serve_metrics import ServeMetrics
from reid.serve_options import ServeConfig
from reid.serve_protocol import SURPLUS
from reid.serve_requests import Limits, Prepared, RefusedRequest, parse_boxes, prepare_image, prepare_json

PATHS = ("/v1/embed", "/health", "/metrics")
_ALLOWED = f"allowed: POST {PATHS[0]}, GET {', '.join(PATHS[1:])}"
ENCODINGS = ("list", "base64")
# How much of a body that is refused is still read, so that its sender gets the answer and not a broken connection.
_DRAINED_BODIES = 4
_PAUSE = 1.0  # seconds without a byte of it after which nothing more is waited for
_log = logging.getLogger("reid.serve")


class ServedEmbedder(Protocol):
    """What is served: an `Embedder`, or what looks like one."""

    preprocessing: Preprocessing
    name: str

    def __call__(self, images: Any) -> np.ndarray:
        """Maps crops to float32 (N, D)."""


class Service:
    """State of one application.

    Args:
        embedder: Called by one thread at a time.
        config: Limits and times; the address is not looked at.
        token: What clients must send, or None.
    """

    def __init__(self, embedder: ServedEmbedder, config: ServeConfig, token: str | None) -> None:
        self.embedder = embedder
        self.config = config
        self.token = token
        self.limits = Limits(config.max_crops, config.max_pixels)
        self.dimension = embedder([np.zeros((32, 16, 3), np.uint8)]).shape[1]  # also the warm-up
        self.in_flight = 0
        self.buffered = 0
        self.metrics = ServeMetrics(lambda: self.batcher.waiting, lambda: self.in_flight)
        self.batcher = Batcher(
            embedder,
            batch_size=config.batch_size,
            queue_size=config.queue_size,
            max_wait=config.max_wait,
            on_batch=self.metrics.batch,
        )
        self.decoders = ThreadPoolExecutor(config.decoders, thread_name_prefix="decoder")

    def close(self) -> None:
        """Ends the threads; requests that wait are answered 503."""
        self.batcher.close()
        self.decoders.shutdown(cancel_futures=True)

    def check_token(self, request: Request) -> None:
        """Raises a `RefusedRequest` when the token is asked for and is not there."""
        if self.token is None:
            return
        given = request.headers.get("authorization", "")
        wanted = f"Bearer {self.token}"
        if not hmac.compare_digest(given.encode("latin-1", "replace"), wanted.encode("latin-1")):
            raise RefusedRequest(401, "authorization: got no or another token, allowed: Bearer TOKEN")

    async def health(self, request: Request) -> Response:
        """Answers GET /health."""
        alive = self.batcher.alive
        size = self.embedder.preprocessing
        state = {"status": "ok" if alive else "stopped", "model": self.embedder.name, "dimension": self.dimension}
        text = json.dumps(state | {"height": size.height, "width": size.width})
        return Response(text, 200 if alive else 503, media_type="application/json")

    async def show_metrics(self, request: Request) -> Response:
        """Answers GET /metrics."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def drain(self, request: Request) -> None:
        """Reads on, for a while, what a client sends that was refused.

        A connection that is closed on bytes that nobody has read is reset, and the answer may be lost with it.
        """
        if "expect" in request.headers:
            return  # it asked first, and waits with the body

        async def read() -> None:
            size, stream = 0, request.stream()
            while size <= _DRAINED_BODIES * self.config.max_body:
                chunk = await asyncio.wait_for(anext(stream, None), _PAUSE)
                if chunk is None:
                    return
                size += len(chunk)

        # The body may be at its end already, which the stream says by a RuntimeError.
        with contextlib.suppress(asyncio.TimeoutError, ClientDisconnect, RuntimeError):
            await asyncio.wait_for(read(), self.config.body_timeout)

    async def embed(self, request: Request) -> Response:
        """Answers POST /v1/embed."""
        prepare = self._reader(request)
        encoding = request.query_params.get("encoding", "list")
        if encoding not in ENCODINGS:
            raise RefusedRequest(422, f"encoding: got {encoding!r}, allowed: {', '.join(ENCODINGS)}")
        content = await self._read(request)
        if self.in_flight >= self.config.max_requests:
            raise RefusedRequest(503, f"busy: {self.in_flight} requests in work, try again later")
        self.in_flight += 1
        try:
            return await asyncio.wait_for(self._answer(content, prepare, encoding), self.config.timeout)
        except asyncio.TimeoutError as error:
            raise RefusedRequest(504, f"not done within {self.config.timeout:g} seconds") from error
        except (QueueFull, BatcherClosed) as error:
            raise RefusedRequest(503, f"busy: {error}, try again later") from error
        finally:
            self.in_flight -= 1

    def _reader(self, request: Request) -> Callable[[bytes], Prepared]:
        """Returns what turns the body into crops, by its type."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        size = self.embedder.preprocessing
        if kind == "application/json":
            return lambda content: prepare_json(content, self.limits, size)
        if kind.startswith("image/"):
            boxes = parse_boxes(request.query_params.get("boxes"))
            return lambda content: prepare_image(content, boxes, self.limits, size)
        raise RefusedRequest(415, f"content-type: got {kind!r}, allowed: application/json, image/*")

    async def _answer(self, content: bytes, prepare: Callable[[bytes], Prepared], encoding: str) -> Response:
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self.decoders, prepare, content)
        rows = np.zeros((0, self.dimension), np.float32)
        if prepared.crops:
            rows = await asyncio.wrap_future(self.batcher.submit(prepared.crops))
        text = await loop.run_in_executor(self.decoders, self._encode, prepared, rows, encoding)
        self.metrics.embedded(len(prepared.quality))
        return Response(text, media_type="application/json")

    def _encode(self, prepared: Prepared, rows: np.ndarray, encoding: str) -> bytes:
        table = prepared.spread(rows)
        embeddings: Any = table.tolist()
        if encoding == "base64":
            embeddings = base64.b64encode(table.astype("<f4").tobytes()).decode()
        answer = {
            "model": self.embedder.name,
            "shape": list(table.shape),
            "quality": prepared.quality.tolist(),
            "embeddings": embeddings,
        }
        return json.dumps(answer, allow_nan=False).encode()

    async def _read(self, request: Request) -> bytes:
        chunks: list[bytes] = []

        async def read() -> None:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > self.config.max_body:
                    raise RefusedRequest(413, f"body: got more, allowed: {self.config.max_body} bytes")
                self._reserve(len(chunk))
                chunks.append(chunk)

        try:
            self._check_length(request)
            await asyncio.wait_for(read(), self.config.body_timeout)
        except asyncio.TimeoutError as error:
            raise RefusedRequest(408, f"body: not here within {self.config.body_timeout:g} seconds") from error
        finally:
            self.buffered -= sum(map(len, chunks))
        return b"".join(chunks)

    def _check_length(self, request: Request) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.config.max_body:
            raise RefusedRequest(413, f"body: got {declared} bytes, allowed: {self.config.max_body}")

    def _reserve(self, count: int) -> None:
        if self.buffered + count > self.config.max_requests * self.config.max_body:
            raise RefusedRequest(503, "busy: no memory for more bodies, try again later")
        self.buffered += count


def create_app(embedder: ServedEmbedder, config: ServeConfig, token: str | None = None) -> FastAPI:
    """Builds the application; its threads end with it.

    Args:
        embedder: An `Embedder`; one that needs cameras must have one fixed.
        config: Limits and times.
        token: What clients must send as a bearer token, None for no one to ask.

    Raises:
        ValueError: When the embedder needs cameras.
    """
    if getattr(embedder, "needs_cameras", False):
        raise ValueError("camera: got none, allowed: the camera of all crops, for this network has camera vectors")
    service = Service(embedder, config, token)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="reid", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    _add_routes(app, service)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/embed")
    async def embed(request: Request) -> Response:
        return await _guarded(service, request, service.embed)

    @app.get("/health")
    async def health(request: Request) -> Response:
        return await _guarded(service, request, service.health, open_to_all=True)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        return await _guarded(service, request, service.show_metrics)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> Response:
        async def refuse(_: Request) -> Response:
            assert isinstance(error, HTTPException)
            message = f"{request.method} {request.url.path}: {error.detail}, {_ALLOWED}"
            raise RefusedRequest(error.status_code, message)

        return await _guarded(service, request, refuse)


async def _guarded(
    service: Service,
    request: Request,
    answer: Callable[[Request], Awaitable[Response]],
    open_to_all: bool = False,
) -> Response:
    """Answers a request and counts it; whatever goes wrong becomes an error with a status and one line."""
    began = time.perf_counter()
    try:
        if not open_to_all:
            service.check_token(request)
            if request.scope.get("state", {}).get(SURPLUS):
                raise RefusedRequest(503, f"busy: {service.config.max_connections} connections, try again later")
        response = await answer(request)
    except RefusedRequest as error:
        response = _refusal(error.status, str(error), None if error.status == 408 else lambda: service.drain(request))
    except ClientDisconnect:
        response = _refusal(400, "the client went away")
    except Exception:
        _log.exception("%s failed", request.url.path)
        response = _refusal(500, "internal error")
    path = request.url.path if request.url.path in PATHS else "other"
    service.metrics.answered(path, response.status_code, time.perf_counter() - began)
    return response


class _Refusal(Response):
    """An answer that is sent whole before the rest of the request is read."""

    def __init__(self, hear_out: Callable[[], Awaitable[None]], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hear_out = hear_out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await self._hear_out()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _refusal(status: int, message: str, hear_out: Callable[[], Awaitable[None]] | None = None) -> Response:
    # Here the body may not have been read to its end.
    headers = {"connection": "close"} if status in (401, 408, 413, 415) else {}
    if status == 503:
        headers["retry-after"] = "1"
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    text, kind = json.dumps({"error": message}), "application/json"
    if hear_out is None:
        return Response(text, status, headers, media_type=kind)
    return _Refusal(hear_out, text, status, headers, media_type=kind)
