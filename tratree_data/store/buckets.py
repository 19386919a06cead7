"""Places in buckets (S3, Google Cloud Storage, Azure), through obstore, which is also what Delta uses.

Credentials and the endpoint come from the environment only, under the names that Amazon's, Google's and Microsoft's own tools use. What a
server answers is reported in our words: its own texts hold addresses, and these may hold keys.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tratree_data.errors import BadInputError, NotFoundError, TratreeError

ADDRESS = re.compile(r"(s3|gs|az):/{1,2}([^/]+)(?:/(.*))?", re.DOTALL)
"""With one slash too: that is what pathlib makes of an address."""
NAMES = r"[A-Za-z0-9._-]*"
CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
           "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SKIP_SIGNATURE"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
           "GOOGLE_SKIP_SIGNATURE"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_USE_EMULATOR"),
}  # fmt: skip
"""One of these must be set; without any, the client would look for a cloud machine's own role, for a long time."""
EXAMPLES = {
    "s3": "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_REGION=…",
    "gs": "export GOOGLE_APPLICATION_CREDENTIALS=FILE",
    "az": "export AZURE_STORAGE_ACCOUNT_NAME=… AZURE_STORAGE_ACCOUNT_KEY=…",
}
ENDPOINTS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_ENDPOINT",
    "AZURITE_BLOB_STORAGE_URL",
)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
RETRIES, RETRY_SECONDS, REQUEST_SECONDS, CONNECT_SECONDS = 7, 60, 120, 10
"""Seven tries with growing pauses take some seconds; a request may take long, because a file may be big."""
REFUSED = "the credentials are refused"
ADVICE = {
    "NoSuchBucket": ("there is no such bucket", "create it, or check the name, AWS_REGION and AWS_ENDPOINT_URL"),
    "ContainerNotFound": ("there is no such container", "create it, or check the name"),
    "ExpiredToken": ("the credentials have expired", "renew them in the environment, then run the same command"),
    "InvalidAccessKeyId": (REFUSED, "check them in the environment"),
    "SignatureDoesNotMatch": (REFUSED, "check them in the environment"),
    "AuthorizationHeaderMalformed": ("the region is another one", "export AWS_REGION=…"),
    "PermanentRedirect": ("the region is another one", "export AWS_REGION=…"),
    "RequestTimeTooSkewed": ("this machine's clock is too far from the server's", "set the clock, then run the same command"),
    "SlowDown": ("the server asks to slow down", "run the same command in a few minutes"),
}
"""By the code in a server's answer: what it means, and what to do."""
FOREIGN = re.compile(
    r"Generic \w+ error|error sending request|Error performing \w+|Object at location|Unauthenticated|credential", re.IGNORECASE
)
"""How the client's own texts begin, where Delta passes them on."""


@dataclass(frozen=True, order=True)
class BucketPath:
    """An address in a bucket, with as much of a Path's behaviour as what works for both places needs."""

    root: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.root}/{self.key}".rstrip("/")

    def __truediv__(self, name: "str | Path") -> "BucketPath":
        return BucketPath(self.root, f"{self.key}/{name}".strip("/"))

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2] or self.root.rpartition("/")[2]

    @property
    def parent(self) -> "BucketPath":
        return BucketPath(self.root, self.key.rpartition("/")[0])

    def resolve(self) -> "BucketPath":
        return self

    def exists(self) -> bool:
        """Whether it is an object, or the beginning of one's address."""
        return next(iter(list_below(self)), None) is not None or self.is_file()

    def is_file(self) -> bool:
        try:
            size_of(self)
        except FileNotFoundError:
            return False
        return True

    def read_text(self, encoding: str = "utf-8") -> str:
        return read(self).decode(encoding)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        write(self, text.encode(encoding))

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(str(self))
        delete(self)


@dataclass(frozen=True)
class Found:
    """An object of a listing."""

    path: BucketPath
    size: int
    modified: datetime
    tag: str = ""
    """Another one, if the object was replaced."""


def is_address(text: str) -> bool:
    return ADDRESS.fullmatch(text) is not None


def parse_address(text: str) -> BucketPath:
    """The place in a bucket that a text names; nothing is asked of the bucket."""
    match = ADDRESS.fullmatch(text)
    if match is None:
        raise BadInputError(f"{text} is not the address of a bucket.\nNext: s3://bucket/name, gs://bucket/name or az://container/name")
    scheme, bucket, key = match[1], match[2], (match[3] or "").rstrip("/")
    parts = [bucket, *key.split("/")] if key else [bucket]
    if not all(re.fullmatch(NAMES, part) and part not in ("", ".", "..") for part in parts):
        shown = re.sub(r"//[^/]*@", "//", text)  # a key in front of the bucket's name
        raise BadInputError(
            f"{shown!r} cannot be the address of a dataset: its names may contain letters, digits, '.', '_' and '-'.\n"
            f"Next: {scheme}://bucket/name, with the credentials in the environment"
        )
    return BucketPath(f"{scheme}://{bucket}", key)


# ---- the client


def scheme_of(path: BucketPath) -> str:
    return path.root.partition(":")[0]


def need_credentials(path: BucketPath) -> None:
    """Before anything is sent: the environment must name credentials, and must not send them unencrypted."""
    scheme = scheme_of(path)
    if not any(os.environ.get(name) for name in CREDENTIALS[scheme]):
        raise BadInputError(f"{path} needs credentials, and the environment contains none.\nNext: {EXAMPLES[scheme]}")
    for name in ENDPOINTS:
        endpoint = urlsplit(os.environ.get(name, ""))
        if endpoint.scheme == "http" and endpoint.hostname not in LOOPBACK:
            raise BadInputError(
                f"{name} is an http address ({endpoint.hostname}), and only this machine may be reached without encryption.\n"
                f"Next: export {name}=https://…"
            )


def _plain_http() -> bool:
    """Only ever to this machine, as `need_credentials` makes sure."""
    return any(os.environ.get(name, "").startswith("http:") for name in ENDPOINTS) or bool(os.environ.get("AZURE_STORAGE_USE_EMULATOR"))


def delta_options(path: BucketPath) -> dict[str, str]:
    """What Delta's client needs to know beyond the environment: commits are conditional, always."""
    need_credentials(path)
    return {
        "allow_http": str(_plain_http()).lower(),
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_SECONDS}s",
        "timeout": f"{REQUEST_SECONDS}s",
        "connect_timeout": f"{CONNECT_SECONDS}s",
    } | ({"aws_conditional_put": "etag"} if scheme_of(path) == "s3" else {})


def _store(path: BucketPath) -> Any:
    need_credentials(path)
    named = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))}
    return _client(path.root, _plain_http(), tuple(sorted(named.items())))


@lru_cache(maxsize=16)
def _client(root: str, allow_http: bool, environment: tuple[tuple[str, str], ...]) -> Any:
    """One for each bucket and environment: a client keeps its connections, and renews what expires."""
    from datetime import timedelta

    from obstore.store import from_url

    open_bucket: Any = from_url  # its overloads want one call per provider
    return open_bucket(
        root,
        client_options={
            "allow_http": allow_http,
            "timeout": timedelta(seconds=REQUEST_SECONDS),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        **({"config": {"aws_conditional_put": "etag"}} if root.startswith("s3:") else {}),
    )


# ---- what goes wrong


@contextmanager
def explained(path: BucketPath) -> Iterator[None]:
    """What the client raises, in our words; a missing object stays a FileNotFoundError."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if re.search("NoSuchBucket|ContainerNotFound", str(error)):
            raise explain(path, error) from error
        raise FileNotFoundError(str(path)) from error
    except BaseError as error:
        raise explain(path, error) from error


def explain(path: BucketPath, error: Exception | str) -> TratreeError:
    """Nothing of the request is repeated but the server's own code for what went wrong."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+)", text)
    named = (code[1] if code else "") or (status[1] if status else "")
    if named in ADVICE:
        what, advice = ADVICE[named]
    elif status and status[1] in ("401", "403"):
        what, advice = "access is denied", "check the credentials in the environment and the bucket's permissions"
    elif status and status[1] in ("404",):
        what, advice = ADVICE["NoSuchBucket"]
    elif status or "server error" in text.lower():
        what, advice = "the server failed", "run the same command again"
    elif re.search("credential|unauthenticated|private key", text, re.IGNORECASE):
        what, advice = "the credentials in the environment cannot be used", EXAMPLES[scheme_of(path)]
    else:
        what, advice = "it cannot be reached", "check the network and AWS_ENDPOINT_URL, then run the same command"
    kind = NotFoundError if named in ("NoSuchBucket", "ContainerNotFound", "404") else TratreeError
    return kind(f"{path}: {what}{f' ({named})' if named else ''}.\nNext: {advice}")


def comes_from_client(error: Exception) -> bool:
    """Whether an error that Delta raised is one of reaching the bucket, and says nothing about the table."""
    return FOREIGN.search(str(error)) is not None


# ---- requests


def read(path: BucketPath) -> bytes:
    import obstore

    with explained(path):
        return bytes(obstore.get(_store(path), path.key).bytes())


def read_range(path: BucketPath, start: int, length: int) -> bytes:
    import obstore

    with explained(path):
        return bytes(obstore.get_range(_store(path), path.key, start=start, length=length))


def read_end(path: BucketPath, length: int) -> tuple[int, bytes]:
    """(size of the object, its last bytes), in one request where the server can count from the end."""
    import obstore

    if scheme_of(path) == "az":
        size = size_of(path)
        return size, read_range(path, max(size - length, 0), min(length, size)) if size else b""
    with explained(path):
        answer = obstore.get(_store(path), path.key, options={"range": {"suffix": length}})
        return int(answer.meta["size"]), bytes(answer.bytes())


def hash_of(path: BucketPath) -> str:
    """The SHA-256 of an object, which is fetched in pieces."""
    import obstore

    digest = hashlib.sha256()
    with explained(path):
        for piece in obstore.get(_store(path), path.key).stream():
            digest.update(piece)
    return digest.hexdigest()


def size_of(path: BucketPath) -> int:
    import obstore

    with explained(path):
        return int(obstore.head(_store(path), path.key)["size"])


def modified_at(path: BucketPath) -> datetime:
    """By the server's clock."""
    import obstore

    with explained(path):
        modified: datetime = obstore.head(_store(path), path.key)["last_modified"]
        return modified


def read_with_tag(path: BucketPath) -> tuple[bytes, str, datetime]:
    """(the object, what `put_if_match` needs to replace exactly this one, when it was written by the server's clock)."""
    import obstore

    with explained(path):
        answer = obstore.get(_store(path), path.key)
        meta = answer.meta
        return bytes(answer.bytes()), str(meta["e_tag"]), meta["last_modified"]


def write(path: BucketPath, data: Any) -> None:
    """The whole object, or nothing: what is sent in pieces is not there before the last one."""
    import obstore

    with explained(path):
        obstore.put(_store(path), path.key, data)


def put_if_absent(path: BucketPath, data: bytes) -> str | None:
    """The tag of what was written; None if there was an object already."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    with explained(path):
        try:
            return str(obstore.put(_store(path), path.key, data, mode="create")["e_tag"])
        except AlreadyExistsError:
            return None


def put_if_match(path: BucketPath, data: bytes, tag: str) -> str | None:
    """The tag of what was written; None if the object is not the one with this tag."""
    import obstore
    from obstore.exceptions import PreconditionError

    with explained(path):
        try:
            return str(obstore.put(_store(path), path.key, data, mode={"e_tag": tag})["e_tag"])
        except (PreconditionError, FileNotFoundError):
            return None


def copy(source: BucketPath, target: BucketPath) -> None:
    """Within a bucket, without the data coming here."""
    import obstore

    with explained(source):
        obstore.copy(_store(source), source.key, target.key)


def delete(path: BucketPath) -> None:
    """Whether it was there or not."""
    import obstore

    with explained(path):
        try:
            obstore.delete(_store(path), path.key)
        except FileNotFoundError:
            return


def list_below(path: BucketPath) -> Iterator[Found]:
    """Every object at any depth, in no particular order."""
    import obstore

    with explained(path):
        for batch in obstore.list(_store(path), path.key or None):
            yield from map(partial(_found, path.root), batch)


def _found(root: str, one: Mapping[str, Any]) -> Found:
    return Found(BucketPath(root, one["path"]), int(one["size"]), one["last_modified"], f"{one['e_tag']} {one['last_modified']}")


def entries_of(path: BucketPath) -> tuple[list[str], list[Found]]:
    """(names of what look like folders, the objects) right below it."""
    import obstore

    with explained(path):
        listed = obstore.list_with_delimiter(_store(path), path.key or None)
    folders = [prefix.rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"]]
    return folders, [_found(path.root, one) for one in listed["objects"]]
