"""OpenAI-compatible HTTP server on the loopback address, with one responder behind it.

Connections, bytes and seconds a client are limited, so a client without the token costs little. The server writes no file.

If `keep_alive_seconds` is set, the server sends an SSE comment (a line that begins with a colon) at that interval while a
streamed answer is awaited. So the read timeout of a client limits silence, not the time of the whole answer. The role is sent
only when the text is ready. Before the first comment, a refusal has its own HTTP status. After it, a refusal is an event with
an `error`, which the openai client raises as an APIError.
"""

import contextlib
import hmac
import io
import json
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from evo.serving.wire import Answer, Question, Refusal, Reset, Responder, chunks, completion, understand

MAX_REQUEST_BYTES = 4_000_000
MAX_HEAD_BYTES = 32_768
MAX_CONNECTIONS = 256
READ_SECONDS = 60.0
"""Time within which a connection must send its next whole request. Else it is closed."""
LOOK_SECONDS = 0.5
"""Interval of the check whether a waiting client is still connected."""
_DRAINED_BYTES = 64_000_000  # read from a refused request, so that its sender receives the refusal


class ChatServer:
    """HTTP server that serves from construction until `close`; also a context manager.

    Args:
        responder: Responder that answers the requests.
        port: Port. 0 for any free port.
        token: Key that clients must send. None for a random one.
        keep_alive_seconds: Silence in a stream before a comment is sent. None for no comments.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self, responder: Responder, port: int = 0, token: str | None = None, keep_alive_seconds: float | None = None
    ) -> None:
        self.token = secrets.token_urlsafe(24) if token is None else token
        self._server = _Server(responder, port, self.token, keep_alive_seconds)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self.model_id = responder.model_id
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name=self.model_id, daemon=True
        )
        self._thread.start()

    @property
    def requests(self) -> int:
        """Return the number of valid chat requests with the right token so far, refused ones included."""
        return self._server.requests

    def close(self) -> None:
        """Stop serving. Safe to call twice."""
        self._server.closed = True
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, responder: Responder, port: int, token: str, keep_alive_seconds: float | None) -> None:
        self.responder, self.token, self.keep_alive_seconds = responder, token, keep_alive_seconds
        self.requests = 0
        self.closed = False
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.read_by: dict[socket.socket, float] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection if fewer than `MAX_CONNECTIONS` are open, else close it."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection and release its place afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def service_actions(self) -> None:
        """Close connections that exceeded `READ_SECONDS`. Called between two polls."""
        now = time.monotonic()
        for connection, until in list(self.read_by.items()):
            if now > until:
                self.read_by.pop(connection, None)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients that hang up."""

    def ask(self, question: Question) -> "Future[Answer]":
        """Count a request and start its answer on a daemon thread. Return the future answer."""
        with self._lock:
            self.requests += 1
        asked: Future[Answer] = Future()

        def answer() -> None:
            try:
                asked.set_result(self.responder.answer(question))
            except (Refusal, Reset) as error:
                asked.set_exception(error)
            except Exception as error:
                asked.set_exception(self.failure(error))

        threading.Thread(target=answer, daemon=True).start()
        return asked

    def failure(self, error: Exception) -> Refusal:
        """Return the refusal for an internal error."""
        return Refusal(500, f"the {self.responder.model_id} failed: {type(error).__name__}: {error}", "internal")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "evo"
    disable_nagle_algorithm = True
    timeout = 300
    _streaming = False  # whether the head of a stream was sent

    def handle_one_request(self) -> None:
        """Handle one request, with a time limit for its arrival."""
        self.server.read_by[self.connection] = time.monotonic() + READ_SECONDS
        try:
            super().handle_one_request()
        finally:
            self.server.read_by.pop(self.connection, None)

    def parse_request(self) -> bool:
        """Parse a request head of limited size. Refuse requests on connections that outlived the server."""
        if self.server.closed:
            self.close_connection = True
            return False
        head, left = b"", MAX_HEAD_BYTES
        while left > 0 and (line := self.rfile.readline(left)):
            head, left = head + line, left - len(line)
            if line in (b"\r\n", b"\n"):
                break
        else:
            self.requestline, self.request_version, self.command = "", self.protocol_version, ""
            self.send_error(431, f"expected at most {MAX_HEAD_BYTES} bytes of headers, and an empty line after them")
            return False
        body, self.rfile = self.rfile, io.BufferedReader(io.BytesIO(head))
        try:
            return super().parse_request()
        finally:
            self.rfile = body

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self._serve({"/v1/models": self._models, f"/v1/models/{self.server.responder.model_id}": self._model})

    def do_POST(self) -> None:
        self._serve({"/v1/chat/completions": self._chat})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send errors of the standard library in the same envelope as all others."""
        self.close_connection = True
        self._send_json(code, Refusal(code, message or "expected a request over HTTP/1.1", "bad_request").body())

    def _serve(self, routes: dict[str, Callable[[bytes], None]]) -> None:
        self._streaming = False
        try:
            length = self._length()
            self._check_token(length)
            body = self.rfile.read(length)
            self.server.read_by.pop(self.connection, None)
            route = routes.get(self.path.split("?")[0])
            if route is None:
                raise Refusal(404, f"expected {' or '.join(routes)}, found {self.command} {self.path}", "not_found")
            route(body)
        except Refusal as refusal:
            self._refuse(refusal)
        except Reset:
            self._reset()
        except OSError:
            raise
        except Exception as error:
            self._refuse(self.server.failure(error))

    def _refuse(self, refusal: Refusal) -> None:
        if self._streaming:
            self._send_events(json.dumps(refusal.body()))
        else:
            self._send_json(refusal.status, refusal.body(), refusal.headers)

    def _length(self) -> int:
        """Return the length of the body in bytes."""
        length = self.headers.get("Content-Length", "0" if self.command == "GET" else "")
        if not length.isdecimal() or len(length) > 18:
            self.close_connection = True
            raise Refusal(400, "expected a request with Content-Length", "bad_request")
        if int(length) > MAX_REQUEST_BYTES:
            self._drain(int(length))
            raise Refusal(413, f"expected at most {MAX_REQUEST_BYTES} bytes, found {length}", "request_too_large")
        return int(length)

    def _check_token(self, length: int) -> None:
        """Check the token before the body is stored."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self.server.token.encode())
        if scheme.lower() != "bearer" or not right:
            self._drain(length)
            raise Refusal(401, "expected this server's token as the API key", "invalid_api_key")

    def _drain(self, length: int) -> None:
        """Discard the body of a refused request and close the connection after the answer."""
        self.close_connection = True
        left = min(length, _DRAINED_BYTES)
        while left and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)

    def _models(self, _: bytes) -> None:
        self._send_json(200, {"object": "list", "data": [self._card()]})

    def _model(self, _: bytes) -> None:
        self._send_json(200, self._card())

    def _card(self) -> dict[str, Any]:
        return {"id": self.server.responder.model_id, "object": "model", "created": 0, "owned_by": "evo"}

    def _chat(self, body: bytes) -> None:
        responder = self.server.responder
        question = understand(body, responder.model_id)
        answer = self._awaited(question)
        head = {
            "id": f"chatcmpl-{question.key[:24]}",
            "created": int(time.time()),
            "model": answer.model or responder.model_id,
            "system_fingerprint": responder.fingerprint,
        }
        if question.stream:
            events = chunks(head, answer, include_usage=question.include_usage)
            self._send_events(*map(json.dumps, events), "[DONE]")
        else:
            self._send_json(200, completion(head, answer))

    def _awaited(self, question: Question) -> Answer:
        """Wait for the answer. Stop waiting if the client hangs up."""
        asked, pause = self.server.ask(question), self.server.keep_alive_seconds
        said = time.monotonic()
        while not wait([asked], timeout=LOOK_SECONDS if pause is None else min(LOOK_SECONDS, pause)).done:
            try:
                if _hung_up(self.connection):
                    raise ConnectionAbortedError
                if question.stream and pause is not None and time.monotonic() - said >= pause:
                    self._send_piece(b": still at work\n\n")
                    said = time.monotonic()
            except OSError:
                question.gone.set()
                raise
        return asked.result()

    def _reset(self) -> None:
        """Close the connection so that the client sees a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _send_json(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _send_events(self, *events: str) -> None:
        """Send the end of a stream."""
        for event in events:
            self._send_piece(f"data: {event}\n\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def _send_piece(self, data: bytes) -> None:
        """Send a piece of a stream, after the head if it is the first."""
        if not self._streaming:
            self._streaming = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        self.wfile.write(f"{len(data):X}\r\n".encode() + data + b"\r\n")


def _hung_up(connection: socket.socket) -> bool:
    """Return whether the client closed the connection or its sending side."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    try:
        return bool(poll.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
