"""The writer's lock of a dataset in a bucket: an object that its writer renews, because nothing else notices that a writer has died.

Taking and renewing it are conditional puts, so only one of two writers succeeds. Its age is measured by the server's clock alone, so
differing clocks do not matter. A writer that was paused for longer than its lease finds out before its next commit; and a commit fails if
somebody else has committed to that table meanwhile.
"""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tratree_data.errors import BadInputError, StoreBusyError, TratreeError
from tratree_data.store.buckets.bucket_paths import BucketPath, delete, modified_at, put_if_absent, put_if_match, read_with_tag

LOCK = ".lock"
LEASE_SECONDS = 60.0
RENEWED_EVERY = 15.0
_held: dict[BucketPath, "Lease"] = {}


class Lease:
    """This process's right to write, as long as it can be renewed."""

    def __init__(self, path: BucketPath, owner: str, tag: str) -> None:
        self.path, self.owner, self.tag = path, owner, tag
        self.renewed = time.monotonic()
        self.lost = False
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        self._thread.start()

    def renew(self) -> None:
        with self._guard:
            if self.lost:
                return
            asked = time.monotonic()
            tag = put_if_match(self.path, lock_text(self.owner), self.tag)
            if tag is None:
                self.lost = True
            else:
                self.tag, self.renewed = tag, asked

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_EVERY):
            with suppress(TratreeError):  # the bucket could not be reached; `confirm` asks again
                self.renew()

    def confirm(self) -> None:
        """Checks, right before something becomes visible, that nobody else has taken over."""
        self.renew()
        if self.lost:
            raise StoreBusyError(
                f"Another process has taken over {self.path.parent}, because this one did not respond for {LEASE_SECONDS:.0f} s. "
                "Nothing that it wrote since then is visible.\nNext: wait for it to end, then run the same command"
            )

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        if not self.lost:
            with suppress(TratreeError):  # it expires by itself
                delete(self.path)


def confirm_lease(folder: object) -> None:
    """Checks that this process may still write to a bucket; in a folder, the system itself guards the lock."""
    if isinstance(folder, BucketPath):
        _held[folder].confirm()


@contextmanager
def leased(folder: BucketPath) -> Iterator[None]:
    lease = _take(folder)
    _held[folder] = lease
    try:
        yield
    finally:
        del _held[folder]
        lease.release()


def _take(folder: BucketPath) -> Lease:
    path = folder / LOCK
    owner = uuid.uuid4().hex
    tag = put_if_absent(path, lock_text(owner))
    if tag is None:
        tag = _take_over(path, owner)
    else:
        _need_conditions(path, owner)
    return Lease(path, owner, tag)


def _need_conditions(path: BucketPath, owner: str) -> None:
    """Refuses a server that ignores conditions: two writers could commit the same version, and one commit would be lost."""
    if (
        put_if_absent(path, lock_text(owner)) is not None
        or put_if_match(path, lock_text(owner), '"00000000000000000000000000000000"') is not None
    ):
        delete(path)
        raise BadInputError(
            f"{path.parent} cannot be written safely: its server ignores conditions on writes (If-None-Match, If-Match), and without them "
            "two writers could overwrite each other.\nNext: use a bucket of a server that supports them, or a folder"
        )


def _take_over(path: BucketPath, owner: str) -> str:
    """Takes over the lock of a writer that has died; others are left alone."""
    try:
        text, seen, renewed = read_with_tag(path)
    except FileNotFoundError:
        seen, wait = "", 0.0  # released a moment ago
    else:
        wait = 0.0 if _is_dead(text) else LEASE_SECONDS - (_server_now(path) - renewed.timestamp())
    if wait > 0:
        raise StoreBusyError(
            f"Another process is writing to {path.parent}.\n"
            f"Next: wait for it to end, then run the same command; if it was killed on another machine, in {max(wait, 1):.0f} s"
        )
    tag = put_if_match(path, lock_text(owner), seen) if seen else put_if_absent(path, lock_text(owner))
    if tag is None:
        raise StoreBusyError(f"Another process is writing to {path.parent}.\nNext: wait for it to end, then run the same command")
    return tag


def lock_text(owner: str) -> bytes:
    """Different each time, so that its tag says which renewal it is."""
    return json.dumps({"owner": owner, "renewal": uuid.uuid4().hex, "machine": _machine(), "process": os.getpid()}).encode()


def _machine() -> str:
    """Identifies the running system and its namespace, within which process numbers are unique; '' if unknown."""
    try:
        return f"{platform.node()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_dead(text: bytes) -> bool:
    """Whether the lock's owner was a process of this machine that is gone."""
    try:
        said = json.loads(text)
        machine, process = str(said["machine"]), int(said["process"])
    except (ValueError, KeyError, TypeError):
        return False
    return bool(machine) and machine == _machine() and not Path(f"/proc/{process}").exists()


def _server_now(path: BucketPath) -> float:
    """The server's time: when it received an object that we have just sent."""
    probe = path.parent / f"{LOCK}-{uuid.uuid4().hex}"
    put_if_absent(probe, b"")
    try:
        return modified_at(probe).timestamp()
    finally:
        delete(probe)
