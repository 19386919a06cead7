"""Whatever a client sends, the terminal that serves the page shows no traceback."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.small import make_store, tables

from tratree_data.viewing.serve import PageServer


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PageServer]:
    make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("here", "hm", "go")])]))
    with PageServer(tmp_path / "d") as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.stop()
        thread.join()


def request(site: PageServer, address: str) -> bytes:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        client.sendall(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nConnection: close\r\n\r\n".encode())
        return client.makefile("rb").read()


@pytest.mark.parametrize("address", ["http://[", "//[", "http://[::1", "/api/tree/%00"])
def test_malformed_addresses_are_not_found(site: PageServer, address: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert request(site, address).startswith(b"HTTP/1.1 404 ")
    assert "Traceback" not in capfd.readouterr().err


def test_clients_that_disconnect_leave_the_terminal_quiet(site: PageServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", site.port), timeout=20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n".encode())
        client.close()
    assert request(site, "/api/overview").startswith(b"HTTP/1.1 200 ")
    assert "Traceback" not in capfd.readouterr().err
