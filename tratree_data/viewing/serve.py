"""Serves the page to this machine only, for datasets too large for one file: data is read when it is displayed.

The server listens on the loopback address and answers only requests that name it as their host, so that another site in the same browser
cannot reach it through a host name of its own. It has a few fixed addresses and serves no files. It answers GET requests, and with
--annotate the page's own POST requests, which carry a token that only that page knows.

The page asks for the status every few seconds. A dataset whose tables have changed, for example by a running exploration, is opened again:
as of one of its commits, never between two.
"""

import json
import re
import secrets
import socket
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tratree_data.errors import BadInputError, NotFoundError, TratreeError, quoted
from tratree_data.ids import content_id
from tratree_data.store.published.release import open_dataset
from tratree_data.store.queries.named_queries import query
from tratree_data.system.plain_text import one_line
from tratree_data.viewing.annotations import TABLE as ANNOTATIONS
from tratree_data.viewing.annotations import annotate
from tratree_data.viewing.page_data import empty_overview, overview_data, tree_data
from tratree_data.viewing.shown_trees import find_tree
from tratree_data.viewing.web_page import dataset_name, render_page

LOOPBACK = "127.0.0.1"
TREE_ADDRESS = re.compile(r"/api/tree/([0-9a-zA-Z]{1,64})")
LONGEST_SEARCH = 200
TREES_KEPT = 8
MOST_HITS = 100
LARGEST_ANNOTATION = 65_536
MOST_CLIENTS = 100
LOOK_SECONDS = 1.0
"""The dataset is opened anew at most this often."""


class PageServer:
    """Serves one dataset until it is closed; the page is at `url`."""

    def __init__(self, directory: str | Path, task: str | None = None, *, port: int = 0, author: str | None = None) -> None:
        """With an `author`, the page may annotate in this name."""
        self.store = open_dataset(directory)
        if author is not None and self.store.label:
            raise BadInputError("A release never changes.\nNext: leave out --annotate, or serve a dataset")
        self.author = author
        self.token = secrets.token_urlsafe(32)
        self.name = dataset_name(directory)
        self.address = quote(one_line(str(directory)))
        self.opened = None if task is None else find_tree(self.store, task)
        self.lock = threading.Lock()
        self.trees: OrderedDict[str, bytes] = OrderedDict()
        self.looked = time.monotonic()
        handler = type("Handler", (_Handler,), {"site": self})
        try:
            self.server = _Server((LOOPBACK, port), handler)
        except OSError as error:
            raise BadInputError(
                f"Port {port} cannot be used: {error.strerror}.\nNext: choose another --port, or leave it out to use a free one"
            ) from error
        self.port = int(self.server.server_address[1])
        self.hosts = {f"{host}:{self.port}" for host in (LOOPBACK, "localhost")}
        self.url = f"http://{LOOPBACK}:{self.port}/"

    def __enter__(self) -> "PageServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.server.server_close()

    def serve_forever(self) -> None:
        self.server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Ends `serve_forever`, from another thread."""
        self.server.shutdown()

    @cached_property
    def page(self) -> tuple[bytes, str]:
        """The page and its content security policy."""
        annotating = None if self.author is None else {"author": self.author, "token": self.token}
        text, policy = render_page(self.name, None, {}, opened=self.opened, served=True, annotating=annotating)
        return text.encode(), policy

    @cached_property
    def overview(self) -> bytes:
        if self.store.has("rollouts"):
            found = overview_data(self.store) | {"built": self.store.has("nodes"), "notes": []}
        else:
            found = empty_overview() | {
                "notes": [{"text": "No rollouts yet. This page updates itself when rollouts are explored or imported."}]
            }
        return _json(found | {"here": None, "version": self.version, "address": self.address})

    @property
    def version(self) -> str:
        """Changes with every table except `annotations`, which the page itself changes."""
        return content_id(*(f"{table} {source.version}" for table, source in sorted(self.store.sources.items()) if table != ANNOTATIONS))

    def status(self) -> bytes:
        """The dataset's current version and its rollouts; later requests refer to this version."""
        with self.lock:
            if not self.store.label and time.monotonic() - self.looked >= LOOK_SECONDS:
                before = self.version
                self.store = open_dataset(str(self.store.path))
                self.looked = time.monotonic()
                if self.version != before:
                    self.trees.clear()
                    self.__dict__.pop("overview", None)
                    self.__dict__.pop("rollouts", None)
            return _json({"version": self.version, "rollouts": self.rollouts})

    @cached_property
    def rollouts(self) -> int:
        return self.store.count("rollouts")

    def tree(self, tree_id: str) -> bytes:
        """One tree as JSON; the most recent ones are cached."""
        with self.lock:
            if tree_id not in self.trees:
                self.trees[tree_id] = _json(tree_data(self.store, tree_id))
                if len(self.trees) > TREES_KEPT:
                    self.trees.popitem(last=False)
            self.trees.move_to_end(tree_id)
            return self.trees[tree_id]

    def annotate(self, body: bytes) -> bytes:
        """Stores the annotation; the dataset is opened anew, so that trees show it from now on."""
        if self.author is None:
            raise BadInputError(f"This page cannot be annotated.\nNext: tratree view {quoted(self.store.path)} --serve --annotate NAME")
        try:
            given = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadInputError("This is not JSON.\nNext: annotate in the page") from error
        with self.lock:
            saved = annotate(str(self.store.path), given if isinstance(given, dict) else {}, self.author)
            self.store = open_dataset(str(self.store.path))
            self.trees.pop(saved["tree_id"], None)
        return _json(saved)

    def search(self, text: str) -> bytes:
        if not text.strip() or not self.store.has("nodes"):
            return _json({"tree_ids": [], "hits": []})
        text = text[:LONGEST_SEARCH]
        trees = query(self.store, "trees_with_text", text=text).column("tree_id").to_pylist()
        return _json({"tree_ids": trees, "hits": query(self.store, "nodes_with_text", text=text, limit=MOST_HITS).to_pylist()})

    def answer(self, address: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for an address."""
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise NotFoundError("Nothing was found at this address.") from error
        tree = TREE_ADDRESS.fullmatch(parts.path)
        if parts.path == "/":
            return HTTPStatus.OK, "text/html; charset=utf-8", self.page[0]
        if parts.path == "/api/overview":
            with self.lock:
                return HTTPStatus.OK, "application/json", self.overview
        if parts.path == "/api/status":
            return HTTPStatus.OK, "application/json", self.status()
        if parts.path == "/api/search":
            return HTTPStatus.OK, "application/json", self.search(parse_qs(parts.query).get("text", [""])[0])
        if tree:
            return HTTPStatus.OK, "application/json", self.tree(tree[1])
        raise NotFoundError("Nothing was found at this address.")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


class _Server(ThreadingHTTPServer):
    """One thread per connection; beyond MOST_CLIENTS the oldest is closed, so that idle clients cannot block others."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.clients: OrderedDict[Any, None] = OrderedDict()
        self.changing = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.changing:
            self.clients[request] = None
            oldest = self.clients.popitem(last=False)[0] if len(self.clients) > MOST_CLIENTS else None
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.changing:
            self.clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports errors, except that a client disconnected."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    site: PageServer
    protocol_version = "HTTP/1.1"
    server_version = "tratree"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        if (self.headers.get("Host") or "").lower() not in self.site.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, f"Requests must name {LOOPBACK} as their host.")
            return
        if self.path != "/" and self.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            self._refuse(HTTPStatus.FORBIDDEN, "Requests from other sites are refused.")
            return
        try:
            status, kind, body = self.site.answer(self.path)
        except NotFoundError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except TratreeError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            self._send(status, kind, body)

    def do_POST(self) -> None:
        """Accepts only annotations from our own page: it alone knows the token, and another site's page cannot send the header."""
        length = self.headers.get("Content-Length", "")
        host = (self.headers.get("Host") or "").lower()
        if self.site.author is None or self.path != "/api/annotations":
            self.refuse_method()
        elif (
            host not in self.site.hosts
            or self.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
            or not secrets.compare_digest(self.headers.get("X-Tratree-Token", "").encode(), self.site.token.encode())
        ):
            self.close_connection = True
            self._refuse(HTTPStatus.FORBIDDEN, "Only the served page may annotate.")
        elif not re.fullmatch("[0-9]{1,9}", length) or int(length) > LARGEST_ANNOTATION:
            self.close_connection = True
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"An annotation has at most {LARGEST_ANNOTATION:,} bytes.")
        else:
            try:
                self._send(HTTPStatus.OK, "application/json", self.site.annotate(self.rfile.read(int(length))))
            except NotFoundError as error:
                self._refuse(HTTPStatus.NOT_FOUND, str(error))
            except TratreeError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    def refuse_method(self) -> None:
        self.close_connection = True
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET requests are allowed.")

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = refuse_method

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, "application/json", _json({"error": reason}))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.site.page[1] + "; frame-ancestors 'none'")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged."""
