"""HTTP connections that end when a client is slow: uvicorn itself waits for headers, and for slow readers, for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def timed_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Returns uvicorn's HTTP/1.1 protocol with a limit on waiting.

    Args:
        seconds: For a whole request header to come, on a new connection and after an answer alike, and for a client to
            take what was sent to it. Bodies are the application's affair.
    """

    class TimedProtocol(H11Protocol):
        _header_timer: asyncio.TimerHandle | None = None
        _reader_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._header_timer = self.loop.call_later(seconds, self._no_header)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before or (self.cycle is not None and not self.cycle.response_complete):
                _cancel(self._header_timer)
                self._header_timer = None
            elif self._header_timer is None and not self.transport.is_closing():
                self._header_timer = self.loop.call_later(seconds, self._no_header)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reader_timer = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._reader_timer)

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._header_timer)
            _cancel(self._reader_timer)
            super().connection_lost(exc)

        def _no_header(self) -> None:
            if not self.transport.is_closing():
                self.transport.write(_TOO_SLOW)
                self.transport.close()

    return TimedProtocol


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
