"""Places in buckets, through obstore, which is also what Delta uses: addresses, objects and requests.

What differs between Amazon, Google and Microsoft is in bucket_providers.py, what goes wrong in bucket_errors.py.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError
from tratree_data.store.buckets.bucket_errors import explained
from tratree_data.store.buckets.bucket_providers import PROVIDERS, client_of, provider_of

ADDRESS = re.compile(rf"({'|'.join(PROVIDERS)}):/{{1,2}}([^/]+)(?:/(.*))?", re.DOTALL)
"""One slash is accepted too: that is what pathlib makes of an address."""
NAMES = r"[A-Za-z0-9._-]*"


@dataclass(frozen=True, order=True)
class BucketPath:
    """An address in a bucket; behaves like a Path as far as code for both kinds of places needs it."""

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
        """Whether an object has this address, or an address that begins with it."""
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
    """Differs if the object was replaced."""


def is_address(text: str) -> bool:
    return ADDRESS.fullmatch(text) is not None


def parse_address(text: str) -> BucketPath:
    """The place in a bucket that a text names; sends no request."""
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


def read(path: BucketPath) -> bytes:
    import obstore

    with explained(path):
        return bytes(obstore.get(client_of(path), path.key).bytes())


def read_range(path: BucketPath, start: int, length: int) -> bytes:
    import obstore

    with explained(path):
        return bytes(obstore.get_range(client_of(path), path.key, start=start, length=length))


def read_end(path: BucketPath, length: int) -> tuple[int, bytes]:
    """(size of the object, its last bytes), in one request if the server can count from the end."""
    import obstore

    if not provider_of(path).counts_from_end:
        size = size_of(path)
        return size, read_range(path, max(size - length, 0), min(length, size)) if size else b""
    with explained(path):
        answer = obstore.get(client_of(path), path.key, options={"range": {"suffix": length}})
        return int(answer.meta["size"]), bytes(answer.bytes())


def hash_of(path: BucketPath) -> str:
    """The SHA-256 of an object, fetched in pieces."""
    import obstore

    digest = hashlib.sha256()
    with explained(path):
        for piece in obstore.get(client_of(path), path.key).stream():
            digest.update(piece)
    return digest.hexdigest()


def size_of(path: BucketPath) -> int:
    import obstore

    with explained(path):
        return int(obstore.head(client_of(path), path.key)["size"])


def modified_at(path: BucketPath) -> datetime:
    """By the server's clock."""
    import obstore

    with explained(path):
        modified: datetime = obstore.head(client_of(path), path.key)["last_modified"]
        return modified


def read_with_tag(path: BucketPath) -> tuple[bytes, str, datetime]:
    """(the object, what `put_if_match` needs to replace exactly this one, when it was written by the server's clock)."""
    import obstore

    with explained(path):
        answer = obstore.get(client_of(path), path.key)
        meta = answer.meta
        return bytes(answer.bytes()), str(meta["e_tag"]), meta["last_modified"]


def write(path: BucketPath, data: Any) -> None:
    """Writes the whole object or nothing: one that is sent in pieces appears with the last piece."""
    import obstore

    with explained(path):
        obstore.put(client_of(path), path.key, data)


def put_if_absent(path: BucketPath, data: bytes) -> str | None:
    """The tag of what was written; None if there was an object already."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    with explained(path):
        try:
            return str(obstore.put(client_of(path), path.key, data, mode="create")["e_tag"])
        except AlreadyExistsError:
            return None


def put_if_match(path: BucketPath, data: bytes, tag: str) -> str | None:
    """The tag of what was written; None if the object is not the one with this tag."""
    import obstore
    from obstore.exceptions import PreconditionError

    with explained(path):
        try:
            return str(obstore.put(client_of(path), path.key, data, mode={"e_tag": tag})["e_tag"])
        except (PreconditionError, FileNotFoundError):
            return None


def copy(source: BucketPath, target: BucketPath) -> None:
    """Copies within a bucket, without downloading the data."""
    import obstore

    with explained(source):
        obstore.copy(client_of(source), source.key, target.key)


def delete(path: BucketPath) -> None:
    """Succeeds also if the object does not exist."""
    import obstore

    with explained(path):
        try:
            obstore.delete(client_of(path), path.key)
        except FileNotFoundError:
            return


def list_below(path: BucketPath) -> Iterator[Found]:
    """Every object at any depth, in no particular order."""
    import obstore

    with explained(path):
        for batch in obstore.list(client_of(path), path.key or None):
            yield from map(partial(_found, path.root), batch)


def _found(root: str, one: Mapping[str, Any]) -> Found:
    return Found(BucketPath(root, one["path"]), int(one["size"]), one["last_modified"], f"{one['e_tag']} {one['last_modified']}")


def entries_of(path: BucketPath) -> tuple[list[str], list[Found]]:
    """(names of what look like folders, the objects) right below it."""
    import obstore

    with explained(path):
        listed = obstore.list_with_delimiter(client_of(path), path.key or None)
    folders = [prefix.rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"]]
    return folders, [_found(path.root, one) for one in listed["objects"]]
