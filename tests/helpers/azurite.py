"""Azurite, Microsoft's own emulator of its storage, where it is installed: npm install -g azurite, or AZURITE=path/to/azurite-blob."""

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import pytest

CONTAINER = "shelf"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's, which Microsoft's documentation prints."""
STARTS_WITHIN = 60


@contextmanager
def serving_azurite() -> Iterator[str]:
    """The address of an empty container; whoever runs the tests without Azurite skips them."""
    command = os.environ.get("AZURITE") or shutil.which("azurite-blob")
    if not command:
        pytest.skip("needs Azurite: npm install -g azurite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [command, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--blobPort", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        _make_container(port)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
            patch.setenv("AZURITE_BLOB_STORAGE_URL", f"http://127.0.0.1:{port}")
            yield f"az://{CONTAINER}"
    finally:
        process.kill()
        process.wait()


def _make_container(port: int) -> None:
    """As soon as it answers."""
    ends = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            with urllib.request.urlopen(_request(port)):
                return
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def _request(port: int) -> urllib.request.Request:
    kind, path = "application/octet-stream", f"/{ACCOUNT}/{CONTAINER}"
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "\n".join(["PUT", *[""] * 4, kind, *[""] * 6, *(f"{name}:{value}" for name, value in headers.items())])
    signed += f"\n/{ACCOUNT}{path}\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Type": kind, "Content-Length": "0"}
    return urllib.request.Request(f"http://127.0.0.1:{port}{path}?restype=container", b"", headers, method="PUT")
