"""Identifiers: content hashes without salt, 16 hexadecimal characters, the same on every machine and in every version.

Texts and nodes, of which there are millions, are hashed in compiled code instead (system/hashing.py).
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import xxhash


def content_id(*parts: object) -> str:
    """Hash of the parts in order; lengths are hashed too, so ('ab', 'c') and ('a', 'bc') differ."""
    return xxhash.xxh3_64_hexdigest(framed(*parts))


def framed(*parts: object) -> bytes:
    """The bytes to hash: each part, preceded by its length."""
    return framed_bytes([str(part).encode("utf-8", "surrogatepass") for part in parts])


def framed_bytes(parts: Sequence[bytes]) -> bytes:
    return b"".join(chain.from_iterable(zip(map(frame, map(len, parts)), parts, strict=True)))


@lru_cache(10_000)
def frame(length: int) -> bytes:
    return length.to_bytes(8, "little")


def tree_id(environment: str, task_id: str) -> str:
    return content_id("tree", environment, task_id)


def rollout_id(environment: str, task_id: str, *identity: object) -> str:
    """`identity` distinguishes attempts: agent, model, sampling and attempt, or a log's own name and record."""
    return content_id("rollout", environment, task_id, *identity)
