"""A small OpenAI-compatible server on loopback that answers, or misbehaves, as it is told."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Trouble = str | tuple[str, Any]


class ChatServer:
    """`troubles` are taken one per request, first come first served; afterwards, and where None, it answers with `answer`."""

    def __init__(
        self, troubles: list[Trouble | None] | None = None, answer: Callable[[dict[str, Any]], str | dict[str, Any]] | None = None
    ) -> None:
        self.troubles = list(troubles or [])
        self.answer = answer or (lambda body: "Thought: On.\nAction: right")
        self.seen: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(chat) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with chat.lock:
                    chat.seen.append(body)
                    chat.times.append(time.monotonic())
                    chat.keys.add(self.headers.get("Authorization", ""))
                    trouble = chat.troubles.pop(0) if chat.troubles else None
                kind, detail = trouble if isinstance(trouble, tuple) else (trouble, None)
                if kind is None:
                    self.reply(200, completion(chat.answer(body)))
                else:
                    getattr(self, kind)(detail)

            def reply(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
                text = data if isinstance(data, bytes) else json.dumps(data).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def status(self, detail: tuple[int, str] | int) -> None:
                number, text = detail if isinstance(detail, tuple) else (detail, "trouble")
                self.reply(number, {"error": {"message": text, "type": "x", "code": None}})

            def wait(self, seconds: str) -> None:
                self.reply(429, {"error": {"message": "slow down"}}, {"Retry-After": seconds})

            def hang(self, seconds: float) -> None:
                time.sleep(seconds)
                self.close_connection = True

            def cut(self, _: None) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"id": "half an ans')
                self.wfile.flush()
                self.close_connection = True

            def garbage(self, text: str) -> None:
                self.reply(200, text.encode())

        return Handler


def completion(answer: str | dict[str, Any]) -> dict[str, Any]:
    """Of a text, or of a whole message, which may call tools."""
    message = {"role": "assistant", "content": answer} if isinstance(answer, str) else {"role": "assistant", "content": None, **answer}
    text = message["content"] or "call"
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": message,
                "logprobs": {"content": [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in text.split()]},
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": len(text.split()), "total_tokens": 11 + len(text.split())},
    }
