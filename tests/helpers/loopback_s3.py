"""A real S3 server on loopback (moto's, which enforces conditional writes), with faults on demand.

It is a process of its own: Delta keeps Python's lock during some requests, and a server in the same process could never answer those.
"""

import json
import logging
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

BUCKET = "shelf"
CONTROL = "/-control"
ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>no</Message></Error>"


class LoopbackS3:
    """The server's process, as tests see it."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "helpers.loopback_s3"]
        self.process = subprocess.Popen(words, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }
        self._send("PUT", f"/{BUCKET}")

    def _send(self, method: str, path: str, content: object = None) -> bytes:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())

    def fault(
        self,
        kind: str,
        path: str = "",
        *,
        method: str = "",
        after: int = 0,
        every: int = 1,
        times: int = 10**9,
        code: str = "InternalError",
    ) -> None:
        """What happens to requests whose path matches, after the first few: a status to answer, 'cut' (close the connection), 'late cut'
        (do it, then close), or 'unconditional' (as a server that does not know conditions)."""
        rule = {"kind": kind, "path": path, "method": method, "after": after, "every": every, "times": times, "code": code}
        self._send("POST", CONTROL, rule)

    def whole(self) -> None:
        """No faults, and no requests so far."""
        self._send("POST", CONTROL, {})

    def requests(self) -> list[tuple[str, str]]:
        """(method, path) of all since the last `whole` or `fault`."""
        asked: list[tuple[str, str]] = json.loads(self._send("GET", CONTROL))
        return asked

    def paths(self, method: str = "GET") -> list[str]:
        return [path.removeprefix(f"/{BUCKET}/") for how, path in self.requests() if how == method]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving_s3() -> Iterator[LoopbackS3]:
    """A server whose credentials are in the environment meanwhile."""
    server = LoopbackS3()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.close()


class _Application:
    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self.requests: list[tuple[str, str]] = []
        self.rule: dict[str, Any] = {}
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environment["REQUEST_METHOD"], environment["PATH_INFO"]
        if path == CONTROL:
            return self._control(method, environment, start)
        self.requests.append((method, path))
        kind = self._kind(method, path)
        if kind.isdigit():
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            start(f"{kind} No", [("Content-Type", "application/xml"), ("Retry-After", "1")])
            return [ERROR.format(self.rule["code"]).encode()]
        if kind == "unconditional":
            environment.pop("HTTP_IF_NONE_MATCH", None)
            environment.pop("HTTP_IF_MATCH", None)
        if kind == "cut":
            start("500 No", [])
        answer = [] if kind == "cut" else self.moto(environment, start)
        if kind.endswith("cut"):
            list(answer)
            with suppress(OSError):
                environment["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return answer

    def _control(self, method: str, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if method == "POST":
            self.rule = json.loads(environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"])))
            self.requests = []
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self.requests).encode()]

    def _kind(self, method: str, path: str) -> str:
        rule = self.rule
        if not rule or rule["method"] not in ("", method) or not re.search(rule["path"], path):
            return ""
        rule["met"] = rule.get("met", 0) + 1
        met = rule["met"] - rule["after"]
        return str(rule["kind"]) if met > 0 and met % rule["every"] == 0 and met <= rule["times"] * rule["every"] else ""


def serve() -> None:
    """Until whoever started it is gone."""
    from threading import Thread

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, _Application(), threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve()
