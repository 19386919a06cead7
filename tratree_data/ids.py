"""Identifiers: content hashes without salt, 16 hexadecimal characters, the same on every machine and in every version."""

import xxhash


def content_id(*parts: object) -> str:
    """Hash of the parts in order; lengths are hashed too, so ('ab', 'c') and ('a', 'bc') differ."""
    framed: list[bytes] = []
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        framed += (len(data).to_bytes(8, "little"), data)
    return xxhash.xxh3_64_hexdigest(b"".join(framed))


def tree_id(environment: str, task_id: str) -> str:
    return content_id("tree", environment, task_id)


def rollout_id(environment: str, task_id: str, *identity: object) -> str:
    """`identity` distinguishes attempts: agent, model, sampling and attempt, or a log's own name and record."""
    return content_id("rollout", environment, task_id, *identity)
