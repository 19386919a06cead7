"""Whatever a client sends, the terminal that serves the page shows no traceback."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.small import make_store, tables

from tratree_data.viewing.serve import MOST_CLIENTS, PageServer


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


def test_clients_that_send_nothing_keep_nobody_out(site: PageServer, capfd: pytest.CaptureFixture[str]) -> None:
    slow = []
    for _ in range(3 * MOST_CLIENTS):
        slow.append(socket.create_connection(("127.0.0.1", site.port), timeout=20))
        slow[-1].sendall(b"GET / HT")
    assert request(site, "/api/overview").startswith(b"HTTP/1.1 200 ")
    assert threading.active_count() < 2 * MOST_CLIENTS
    assert slow[0].recv(1) == b"", "the oldest are closed"
    for client in slow:
        client.close()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("length", ["9" * 5_000, "-1", "\u00b2", "1e3", "", str(2**40)])
def test_lengths_that_nobody_sends_are_refused(tmp_path: Path, length: str, capfd: pytest.CaptureFixture[str]) -> None:
    make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("here", "hm", "go")])]))
    with PageServer(tmp_path / "d", author="me") as site:
        threading.Thread(target=site.server.handle_request, daemon=True).start()
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            head = f"POST /api/annotations HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nX-Tratree-Token: {site.token}\r\n"
            client.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode("latin-1"))
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 413 ")
    assert "Traceback" not in capfd.readouterr().err
