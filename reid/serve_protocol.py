"""HTTP connections that end when a client is slow, and a limit on them that slow clients do not use up."""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Protocol

from uvicorn.protocols.http.h11_impl import H11Protocol

SURPLUS = "surplus"  # in the scope's state: whether the request came over a connection beyond the limit


class LimitedConnection(Protocol):
    """What `ConnectionLimit` counts."""

    @property
    def waiting_since(self) -> float | None:
        """Time in seconds since which no request is in work; None while one is."""

    def give_up(self) -> None:
        """Ends the connection."""


class ConnectionLimit:
    """Counts connections, and ends idle ones where there are too many.

    The one that has waited longest without a request in work makes room for a new one: it has sent no whole header, or
    nothing since its last answer. Whoever wants to keep others out would have to open `limit` connections in the time
    that a client's header takes.

    Args:
        limit: Connections.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: dict[LimitedConnection, bool] = {}  # and whether it came when there was no room

    def add(self, connection: LimitedConnection) -> None:
        """Counts a new connection, for which another may have to go."""
        if len(self._open) >= self.limit:
            waiting = [(one.waiting_since, one) for one in self._open if one.waiting_since is not None]
            if waiting:
                oldest = min(waiting, key=lambda pair: pair[0])[1]
                self.remove(oldest)
                oldest.give_up()
        self._open[connection] = len(self._open) >= self.limit

    def remove(self, connection: LimitedConnection) -> None:
        """Counts a connection no more."""
        self._open.pop(connection, None)

    def is_surplus(self, connection: LimitedConnection) -> bool:
        """Returns whether a connection came when there was no room, and there still is none."""
        return len(self._open) > self.limit and self._open.get(connection, True)


def timed_protocol(seconds: float, limit: ConnectionLimit) -> type[asyncio.Protocol]:
    """Returns uvicorn's HTTP/1.1 protocol with a limit on waiting.

    uvicorn itself waits for headers, and for slow readers, for ever.

    Args:
        seconds: For a whole request header to come, on a new connection and after an answer alike, and for a client to
            take what was sent to it. Bodies are the application's affair.
        limit: Counts the connections; the application finds `SURPLUS` in the state of each request.
    """

    class TimedProtocol(H11Protocol):
        _header_timer: asyncio.TimerHandle | None = None
        _reader_timer: asyncio.TimerHandle | None = None
        _since = 0.0

        @property
        def waiting_since(self) -> float | None:
            """Time of the loop since which no request is in work; None while one is."""
            cycle = self.cycle
            # An answer that has begun before the body was whole is a refusal, whose sender is only heard out.
            waits = cycle is None or cycle.response_complete or (cycle.response_started and cycle.more_body)
            return self._since if waits else None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._since = self.loop.time()
            self._header_timer = self.loop.call_later(seconds, self._no_header)
            limit.add(self)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            self.app_state = {**self.app_state, SURPLUS: limit.is_surplus(self)}
            super().data_received(data)
            if self.cycle is not before or (self.cycle is not None and not self.cycle.response_complete):
                _cancel(self._header_timer)
                self._header_timer = None
            elif self._header_timer is None and not self.transport.is_closing():
                self._header_timer = self.loop.call_later(seconds, self._no_header)

        def on_response_complete(self) -> None:
            self._since = self.loop.time()
            super().on_response_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reader_timer = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._reader_timer)

        def connection_lost(self, exc: Exception | None) -> None:
            limit.remove(self)
            _cancel(self._header_timer)
            _cancel(self._reader_timer)
            super().connection_lost(exc)

        def give_up(self) -> None:
            """Ends the connection in favour of another."""
            if self.cycle is None:
                self._end(503, "busy: too many connections, try again later")
            else:  # it has its answer, or most of it
                self.transport.abort()

        def send_400_response(self, msg: str) -> None:
            self._end(400, msg)

        def _no_header(self) -> None:
            self._end(408, f"header: not here within {seconds:g} seconds")

        def _end(self, status: int, message: str) -> None:
            if self.transport.is_closing():
                return
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(_answer(status, message))
            self.transport.close()

    return TimedProtocol


def _answer(status: int, message: str) -> bytes:
    """Returns an answer to what never became a request of the application."""
    body = json.dumps({"error": message}).encode()
    again = "retry-after: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nconnection: close\r\n{again}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
