"""An S3 endpoint on 127.0.0.1 that hands requests on to another and fails as the tokens say."""

import http.client
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.faults.tokens import Tokens

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
OUTAGE_SECONDS = 1.5
DELAY_SECONDS = 2.0
CHANCE = 0.1
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class FaultyEndpoint(ThreadingHTTPServer):
    """Answers for `upstream`; a context manager, `address` is its own."""

    daemon_threads = True

    def __init__(self, upstream: str, tokens: Tokens) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.tokens, self.out_until = urlsplit(upstream), tokens, 0.0
        self.address = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "FaultyEndpoint":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients are killed all the time."""

    def is_out(self) -> bool:
        if self.tokens.claim("S3 out for a while", CHANCE / 5):
            self.out_until = time.monotonic() + OUTAGE_SECONDS
        return time.monotonic() < self.out_until or self.tokens.claim("S3 says 503", CHANCE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyEndpoint

    def _handle(self) -> None:
        body, tokens = self.rfile.read(int(self.headers.get("Content-Length", 0))), self.server.tokens
        if self.server.is_out():
            self._reply(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
            return
        if tokens.claim("S3 connection lost", CHANCE):
            self._hang_up()
            return
        if tokens.claim("S3 late", CHANCE):
            time.sleep(DELAY_SECONDS)
        upstream = http.client.HTTPConnection(self.server.upstream.netloc, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content, headers = answer.read(), dict(answer.getheaders())
        upstream.close()
        if self.command in ("PUT", "POST") and tokens.claim("S3 reply lost", 2 * CHANCE):
            self._hang_up()
            return
        if len(content) > 1 and tokens.claim("S3 reply cut", CHANCE):
            self._reply(answer.status, headers, content, len(content) // 2)
            self._hang_up()
            return
        self._reply(answer.status, headers, content)

    def _reply(self, status: int, headers: dict[str, str], content: bytes, sent: int | None = None) -> None:
        is_head = self.command == "HEAD"
        length = next((value for name, value in headers.items() if name.lower() == "content-length"), "0")
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length if is_head and status < 500 else str(len(content)))
        self.end_headers()
        if not is_head:
            self.wfile.write(content[:sent])

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *_: object) -> None:
        pass

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle
