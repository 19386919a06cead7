"""A Hub on loopback: the endpoints that huggingface_hub and datasets really use, over HTTP, with faults on demand.

It keeps repositories in memory as lists of commits (path → content), checks tokens and parents as the Hub does, and speaks LFS for
Parquet. `faults` decides, request by request, what goes wrong.
"""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopbackLOOPBACKloopbackLOOPBACK1234"


@dataclass
class Repository:
    private: bool = False
    gated: object = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        oid = hashlib.sha1(f"{len(self.commits)}{sorted((n, hashlib.sha1(c).hexdigest()) for n, c in files.items())}".encode()).hexdigest()
        self.commits.append((oid, files))
        return oid

    def resolve(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision in ("main", "refs/heads/main"):
            return self.commits[-1]
        wanted = self.tags.get(revision.removeprefix("refs/tags/"), revision)
        return next((commit for commit in reversed(self.commits) if commit[0] == wanted), None)


@dataclass(frozen=True)
class Request:
    number: int
    method: str
    path: str


Fault = Callable[[Request], object]
"""None: go on; an int: answer with that status; 'cut': close the connection; ('wait', s): answer late; ('late-cut',): do it, then cut;
('half',): send half of the answer, then cut."""


class LoopbackHub:
    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.fault: Fault = lambda request: None
        self.lock = threading.RLock()
        self.late = 0
        """Requests that are still to be carried out, although their client may have given up."""
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def begin(self, fault: Fault | None = None) -> None:
        """Counts requests anew, with this fault from now on, once what was to be answered late is done: it would change what comes next."""
        while self.late:
            time.sleep(0.05)
        with self.lock:
            self.requests = []
            self.fault = fault or (lambda request: None)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.handle_request()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def handle_request(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        with self.hub.lock:
            request = Request(len(self.hub.requests), self.command, self.path)
            self.hub.requests.append(request)
            fault = self.hub.fault(request)
        if fault == "cut":
            return self.cut()
        self.body = self.rfile.read(length) if length else self.read_chunks()
        if len(self.body) < length:  # the client is gone
            return self.cut()
        if isinstance(fault, int):
            return self.answer(fault, {"error": "fault"}, {"Retry-After": "1"} if fault == 429 else {})
        late = isinstance(fault, tuple) and fault[0] == "wait"
        if late:
            with self.hub.lock:
                self.hub.late += 1
            time.sleep(fault[1])
        with self.hub.lock:
            self.hub.late -= late
            self.late_cut = isinstance(fault, tuple) and fault[0] == "late-cut"
            self.half = isinstance(fault, tuple) and fault[0] == "half"
            return self.route()

    def read_chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the other side may be gone
            self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, status: int, content: object = None, headers: dict[str, str] | None = None, data: bytes | None = None) -> None:
        if getattr(self, "late_cut", False):
            return self.cut()
        data = json.dumps(content).encode() if data is None else data
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        if content is not None:
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            if getattr(self, "half", False):
                self.wfile.write(data[: len(data) // 2])
                return self.cut()
            self.wfile.write(data)
        return None

    def missing(self, what: str) -> None:
        self.answer(404, {"error": what}, {"X-Error-Code": what})

    def allowed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def route(self) -> None:
        path = urlsplit(self.path).path
        self.query = parse_qs(urlsplit(self.path).query)
        if path == "/api/repos/create":
            return self.create()
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/whoami-v2":
            return self.answer(200, {"name": "tester", "type": "user"}) if self.allowed() else self.answer(401, {"error": "token"})
        if match := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            return self.put_object(match[1])
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.batch(match[1])
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.with_repository(match[1], lambda r: self.resolve(r, unquote(match[2]), unquote(match[3])))
        if match := re.fullmatch(r"/api/(?:datasets|models)/([^/]+/[^/]+)(?:/(.*))?", path):
            return self.with_repository(match[1], lambda r: self.api(r, match[1], match[2] or ""))
        return self.missing("RepoNotFound")

    def with_repository(self, name: str, then: Callable[[Repository], None]) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.allowed()):
            return self.answer(401 if not self.allowed() else 404, {"error": "RepoNotFound"}, {"X-Error-Code": "RepoNotFound"})
        if self.command in ("POST", "PUT", "DELETE") and not self.allowed() and not self.path.endswith("paths-info"):
            return self.answer(401, {"error": "Invalid credentials"})
        return then(repository)

    def create(self) -> None:
        if not self.allowed():
            return self.answer(401, {"error": "Invalid credentials"})
        body = json.loads(self.body)
        name = f"{body.get('organization') or 'tester'}/{body['name']}"
        if body["organization"] == "others":
            return self.answer(403, {"error": "You don't have the rights to create a dataset under this namespace"})
        if name in self.hub.repositories:
            return self.answer(409, {"error": "You already created this dataset repo", "url": f"{self.hub.endpoint}/datasets/{name}"})
        private = bool(body.get("private")) or body.get("visibility") == "private"
        repository = self.hub.repositories[name] = Repository(private=private)
        repository.commit({".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"})
        return self.answer(200, {"url": f"{self.hub.endpoint}/datasets/{name}", "id": name, "name": name})

    def api(self, repository: Repository, name: str, rest: str) -> None:
        verb, _, tail = rest.partition("/")
        if verb in ("", "revision"):
            return self.info(repository, name, unquote(tail) or "main")
        if verb == "settings":
            repository.gated = json.loads(self.body).get("gated", repository.gated)
            return self.answer(200, {})
        if verb == "refs":
            branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.commits[-1][0]}]
            tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repository.tags.items()]
            return self.answer(200, {"branches": branches, "tags": tags, "converts": []})
        if verb == "tag":
            return self.tag(repository, unquote(tail))
        revision, _, folder = tail.partition("/")
        found = repository.resolve(unquote(revision))
        if found is None:
            return self.missing("RevisionNotFound")
        if verb == "preupload":
            return self.preupload(found[1])
        if verb == "commit":
            return self.commit(repository, name)
        if verb == "tree":
            return self.tree(found[1], unquote(folder))
        if verb == "paths-info":
            return self.paths_info(found[1])
        return self.missing("EntryNotFound")

    def info(self, repository: Repository, name: str, revision: str) -> None:
        found = repository.resolve(revision)
        if found is None:
            return self.missing("RevisionNotFound")
        siblings = [{"rfilename": path} for path in sorted(found[1])]
        content = {"id": name, "sha": found[0], "private": repository.private, "gated": repository.gated, "siblings": siblings, "tags": []}
        return self.answer(200, {**content, "lastModified": "2026-01-01T00:00:00.000Z", "disabled": False, "downloads": 0, "likes": 0})

    def tag(self, repository: Repository, revision: str) -> None:
        if self.command == "DELETE":
            gone = repository.tags.pop(revision, None)
            return self.answer(200, {}) if gone else self.missing("RevisionNotFound")
        name = json.loads(self.body)["tag"]
        if name in repository.tags:
            return self.answer(409, {"error": "Tag already exists"})
        found = repository.resolve(revision)
        if found is None:
            return self.missing("RevisionNotFound")
        repository.tags[name] = found[0]
        return self.answer(200, {})

    def preupload(self, files: dict[str, bytes]) -> None:
        answers = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if file["path"].endswith(".parquet") else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
            if file["path"] in files:
                answers[-1]["oid"] = _oid(file["path"], files[file["path"]])
        return self.answer(200, {"files": answers})

    def batch(self, name: str) -> None:
        if not self.allowed():
            return self.answer(401, {"error": "Invalid credentials"})
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry: dict[str, object] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def put_object(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.answer(400, {"error": "hash mismatch"})
        self.hub.objects[oid] = self.body
        return self.answer(200, {})

    def commit(self, repository: Repository, name: str) -> None:
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        files = dict(repository.commits[-1][1])
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "header" and value.get("parentCommit") not in (None, repository.commits[-1][0]):
                return self.answer(412, {"error": "A commit has happened since. Please refresh and try again."})
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    return self.answer(400, {"error": "LFS object missing"})
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"])
        oid = repository.commit(files)
        url = f"{self.hub.endpoint}/datasets/{name}/commit/{oid}"
        return self.answer(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": _git_oid(content)}
        if path.endswith(".parquet"):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return entry

    def tree(self, files: dict[str, bytes], folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        inside = [path for path in sorted(files) if path.startswith(prefix)]
        if folder and not inside:
            return self.missing("EntryNotFound")
        recursive = self.query.get("recursive", ["false"])[0].lower() == "true"
        entries = [self.entry(path, files[path]) for path in inside if recursive or "/" not in path[len(prefix) :]]
        folders = {path[: len(prefix) + i] for path in inside for i, letter in enumerate(path[len(prefix) :]) if letter == "/"}
        entries += [
            {"type": "directory", "path": f, "size": 0, "oid": "0" * 40}
            for f in sorted(folders)
            if recursive or "/" not in f[len(prefix) :]
        ]
        return self.answer(200, entries)

    def paths_info(self, files: dict[str, bytes]) -> None:
        try:
            paths = json.loads(self.body)["paths"]
        except ValueError:
            paths = parse_qs(self.body.decode())["paths"]
        entries = [self.entry(path, files[path]) for path in paths if path in files]
        entries += [
            {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
            for path in paths
            if path not in files and any(name.startswith(f"{path}/") for name in files)
        ]
        return self.answer(200, entries)

    def resolve(self, repository: Repository, revision: str, path: str) -> None:
        found = repository.resolve(revision)
        if found is None:
            return self.missing("RevisionNotFound")
        content = found[1].get(path)
        if content is None:
            self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": found[0]})
            return None
        headers = {"ETag": f'"{_oid(path, content)}"', "X-Repo-Commit": found[0], "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
            part = content[first : last + 1]
            return self.answer(206, None, {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}, part)
        return self.answer(200, None, {**headers, "Content-Length": str(len(content))}, content)


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _oid(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if path.endswith(".parquet") else _git_oid(content)
