"""A model's server on loopback that misbehaves as it is told."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def completion(text: str, finish: str = "stop") -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
            "usage": usage}  # fmt: skip


class Reply:
    """One answer of the server: a text, or whatever goes wrong instead."""

    def __init__(self, text: str = "", status: int = 200, headers: dict[str, str] | None = None, *,
                 body: bytes | None = None, cut: int = 0, stall: float = 0, finish: str = "stop") -> None:  # fmt: skip
        self.status, self.headers, self.cut, self.stall = status, headers or {}, cut, stall
        self.body = json.dumps(completion(text, finish)).encode() if body is None else body


class ModelServer:
    """Calls `reply(number, request body)` for the request of that number and keeps what came."""

    def __init__(self, reply: Callable[[int, dict[str, Any]], Reply]) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    number = len(outer.bodies)
                    outer.bodies.append(body)
                    outer.headers.append(dict(self.headers))
                    outer.paths.append(self.path)
                    outer.times.append(time.monotonic())
                    made = reply(number, json.loads(body))
                time.sleep(made.stall)
                self.send_response(made.status)
                for name, value in ({"Content-Length": str(len(made.body))} | made.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(made.body[: len(made.body) - made.cut])

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
