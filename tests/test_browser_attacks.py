"""Other sites in the same browser, and texts that break scripts: what a real Chromium does with the served page."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from helpers.viewing import toy_rollouts, toy_tree, write_store
from helpers.visits import CHROMIUM, needs_chromium

from tratree_data.store.reader import open_store
from tratree_data.viewing.serve import PageServer

pytestmark = [needs_chromium, pytest.mark.xdist_group("view")]
DEEP = 'look {"a": ' + "[" * 60_000 + "]" * 60_000 + "}"
ODD = ('look {"__proto__": {"x": 1}, "constructor": "y", "toString": 1}', "look {", DEEP, '{"a": "b\\n' + "c" * 300 + '"}')
REBOUND = "rebound.example"
ATTACK = """async (address) => {
  const said = [];
  const attempt = async (name, what) => { try { said.push([name, await what()]); } catch (error) { said.push([name, 'refused']); } };
  const annotation = JSON.stringify({subject: 'rollout', subject_id: SUBJECT, label: 'good', note: 'attack'});
  await attempt('read', async () => (await fetch(address + 'api/overview')).text());
  await attempt('read page', async () => (await fetch(address)).text());
  await attempt('blind', async () => (await fetch(address + 'api/annotations', {method: 'POST', mode: 'no-cors', body: annotation})).type);
  const asked = {method: 'POST', headers: {'X-Tratree-Token': ''}, body: annotation};
  await attempt('token', async () => (await fetch(address + 'api/annotations', asked)).text());
  const form = document.createElement('form');
  Object.assign(form, {action: address + 'api/annotations', method: 'POST', enctype: 'text/plain', target: 'frame'});
  const field = document.createElement('input');
  Object.assign(field, {name: annotation.slice(0, -1) + ', "x": "', value: '"}'});
  form.append(field);
  const frame = document.createElement('iframe');
  frame.name = 'frame';
  document.body.append(frame, form);
  form.submit();
  await attempt('socket', () => new Promise((done, failed) => {
    const socket = new WebSocket(address.replace('http', 'ws') + 'api/overview');
    [socket.onopen, socket.onerror] = [() => done('open'), failed];
  }));
  for (const tag of ['img', 'script']) {
    await attempt(tag, () => new Promise((done, failed) => {
      const node = document.createElement(tag);
      [node.onload, node.onerror, node.src] = [() => done('loaded'), failed, address + 'api/overview'];
      document.body.append(node);
    }));
  }
  return said;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    rollouts, steps = toy_rollouts(tasks=1, attempts=4, steps=3)
    for number, step in enumerate(steps):
        step["action"] = ODD[number % len(ODD)]
        step["observation"] = ODD[(number + 1) % len(ODD)]
    folder = write_store(tmp_path_factory.mktemp("odd") / "odd", {"rollouts": rollouts, "steps": steps, **toy_tree(rollouts, steps)})
    with PageServer(folder, author="me") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Another site on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>elsewhere</title><body>")

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_name_that_was_rebound_to_this_machine_sees_nothing(site: PageServer, browser: Any) -> None:
    page = browser.new_page()
    for path in ("", "api/overview", "api/status"):
        answer = page.goto(f"http://{REBOUND}:{site.port}/{path}")
        assert answer.status == 403
        assert "odd" not in page.content()
    page.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", REBOUND])
def test_another_site_neither_reads_nor_annotates(site: PageServer, browser: Any, elsewhere: int, host: str) -> None:
    subject = open_store(site.store.path).sql("SELECT min(rollout_id) AS id FROM rollouts")["id"][0].as_py()
    page = browser.new_page()
    page.goto(f"http://{host}:{elsewhere}/")
    for target in (site.url, f"http://localhost:{site.port}/"):
        found = dict(page.evaluate(ATTACK.replace("SUBJECT", json.dumps(subject)), target))
        blind = found.pop("blind")
        assert blind in ("opaque", "refused")
        assert set(found.values()) == {"refused"}, found
    page.wait_for_timeout(200)
    assert not open_store(site.store.path).has("annotations")
    page.close()


def test_odd_and_deeply_nested_calls_leave_the_page_working(site: PageServer, browser: Any) -> None:
    problems: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    tree = site.store.sql("SELECT tree_id, node_id FROM nodes ORDER BY depth, node_id").to_pylist()
    for row in tree:
        page.goto(f"{site.url}#tree={row['tree_id']}&node={row['node_id']}")
        page.wait_for_selector("#side-body .node-head", timeout=20_000)
    for tab in ("decisions", "rollouts", "merges"):
        page.goto(f"{site.url}#tree={tree[0]['tree_id']}&tab={tab}")
        page.wait_for_timeout(100)
    assert not problems
    page.close()
