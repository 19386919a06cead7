"""The agent for OpenAI-compatible servers, against a real server on loopback that misbehaves in every way a server can."""

import gc
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from helpers import corridor
from helpers.chat_server import ChatServer

from tratree_data import explore, open_store
from tratree_data.agents import Request, Response, Step, make_agent
from tratree_data.agents.openai_server import retry_after
from tratree_data.errors import BadInputError, MissingPackageError, TratreeError

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def plug_in(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    corridor.install(tmp_path_factory.getbasetemp() / "plug-in")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def request(**changes: Any) -> Request:
    sampling = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 20, "seed": 7}
    fields = {"environment": "corridor", "task_id": "t", "attempt": 0, "prompt": "Play.", "instruction": "Walk.", "history": ()}
    return Request(**{**fields, "observation": "You stand.", "sampling": sampling, **changes})


def ask(server: ChatServer, asked: Request | None = None, **options: Any) -> Response:
    agent = make_agent("openai:model=m", base_url=server.url, **{"time_out": 5, "patience": 20, **options})
    try:
        (response,) = agent.act([asked or request()])
        return response
    finally:
        agent.close()


def test_an_answer_is_parsed_and_counted() -> None:
    with ChatServer() as server:
        response = ask(server, request(history=(Step("You sat.", "Up.", "stand"),), sampling={"temperature": 0.3, "top_k": 5, "seed": 7}))
    assert (response.thought, response.action) == ("On.", "right")
    assert (response.prompt_tokens, response.completion_tokens, response.logprob) == (11, 4, -2.0)
    (body,) = server.seen
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == "Play.\n\nWalk.\n\nYou sat."
    assert body["messages"][1]["content"] == "Thought: Up.\nAction: stand"
    assert (body["temperature"], body["top_k"], body["seed"], body["model"]) == (0.3, 5, 7, "m")
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "trouble",
    [
        ("status", 500),
        ("status", 503),
        ("status", 408),
        ("wait", "0.1"),
        ("hang", 1.0),
        "cut",
        ("garbage", "<html>not json"),
        ("garbage", "[]"),
        ("garbage", '{"choices": []}'),
        ("garbage", '{"choices": [{"message": null}]}'),
        ("garbage", "null"),
        ("garbage", ""),
    ],
    ids=str,
)
def test_passing_trouble_is_sat_out(trouble: Any) -> None:
    with ChatServer([trouble, trouble]) as server:
        response = ask(server, time_out=0.5)
    assert response.action == "right"
    assert response.stop_reason is None
    assert len(server.seen) == 3


def test_retry_after_holds_for_everybody() -> None:
    with ChatServer([("wait", "1")]) as server:
        agent = make_agent("openai:model=m", base_url=server.url)
        agent.act([request()])
        agent.act([request()] * 3)
        agent.close()
    assert server.times[1] - server.times[0] >= 1
    assert len(server.seen) == 5


def test_retry_after_may_be_a_date() -> None:
    assert retry_after("2.5") == 2.5
    assert 8 < retry_after(formatdate(time.time() + 10, usegmt=True)) <= 10
    assert retry_after("soon") == retry_after(None) == 0


def test_a_server_that_stays_away_is_given_up() -> None:
    with ChatServer() as server:
        url = server.url
    agent = make_agent("openai:model=m", base_url=url, patience=1)
    started = time.monotonic()
    (response,) = agent.act([request()])
    agent.close()
    assert response.stop_reason == "server_unavailable"
    assert time.monotonic() - started < 5


def test_a_prompt_that_does_not_fit_ends_the_episode() -> None:
    message = "This model's maximum context length is 512 tokens. However, your request has 600 input tokens."
    with ChatServer([("status", (400, message))]) as server:
        assert ask(server).stop_reason == "context_overflow"


def test_servers_without_log_probabilities_are_asked_without() -> None:
    with ChatServer([("status", (400, "logprobs are not supported"))]) as server:
        response = ask(server)
    assert response.action == "right"
    assert [body.get("logprobs") for body in server.seen] == [True, None]


def test_servers_that_call_the_limit_otherwise_are_asked_their_way() -> None:
    message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with ChatServer([("status", (400, message))]) as server:
        assert ask(server).action == "right"
    assert [(body.get("max_tokens"), body.get("max_completion_tokens")) for body in server.seen] == [(20, None), (None, 20)]


def test_a_refused_request_is_the_agents_error() -> None:
    with ChatServer([("status", (422, "temperature must be warm"))]) as server:
        response = ask(server)
    assert response.stop_reason == "agent_error"
    assert "must be warm" in response.text


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_user_must_change_stops_all_and_shows_no_key(status: int) -> None:
    with ChatServer([("status", (status, f"bad key {KEY}"))]) as server, pytest.raises(BadInputError) as caught:
        ask(server)
    assert KEY not in str(caught.value)
    assert "refused" in str(caught.value)


def test_a_rate_limit_is_kept() -> None:
    with ChatServer() as server:
        agent = make_agent("openai:model=m", base_url=server.url, requests_per_minute=600)
        started = time.monotonic()
        agent.act([request()] * 8)
        assert time.monotonic() - started >= 0.7
        agent.close()
    assert len(server.seen) == 8


def test_mistakes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match="must not contain a password"):
        make_agent("openai:model=m,base_url=http://me:secret@127.0.0.1/v1")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(BadInputError, match="OPENAI_API_KEY is not set"):
        make_agent("openai:model=m")


def clever(body: dict[str, Any]) -> str:
    """Walks right, and takes at the end."""
    words = body["messages"][-1]["content"].split()
    place = len(words) - 1 - words[::-1].index("stand") + 2
    return "Thought: Here.\nAction: take" if words[place] == words[place + 2].rstrip(".") else "Thought: On.\nAction: right"


def test_an_exploration_against_a_moody_server(tmp_path: Path) -> None:
    troubles: list[Any] = [("status", 500), None, ("wait", "0.2"), None, "cut", None, ("garbage", "x")] * 4
    with ChatServer(troubles, clever) as server:
        explore(
            tmp_path / "data", "corridor", f"openai:model=m,base_url={server.url},time_out=5", attempts=2, tasks=8, temperature="0.2,0.9"
        )
    store = open_store(tmp_path / "data")
    got = store.sql(
        "SELECT end_reason, avg(score) AS score, count(*) AS n, sum(prompt_tokens) AS tokens FROM rollouts GROUP BY ALL"
    ).to_pylist()
    steps = store.count("steps")
    assert got == [{"end_reason": "done", "score": 1.0, "n": 16, "tokens": 11 * steps}]
    assert len(server.seen) == steps + 16
    assert store.sql("SELECT count(*) AS n FROM steps WHERE logprob < 0").to_pylist() == [{"n": steps}]
    assert {body["temperature"] for body in server.seen} == {0.2, 0.9}
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_a_server_that_goes_away_stops_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    agent = "openai:model=m,patience=1,time_out=1,base_url="
    with ChatServer([None] * 25 + [("status", 500)] * 1000, clever) as server:
        with pytest.raises(TratreeError, match="does not answer"):
            explore(tmp_path / "data", "corridor", agent + server.url, attempts=2, tasks=10, concurrent=4)
        assert len(server.seen) < 100, "it must not burn through the tasks"
        failed = open_store(tmp_path / "data").sql("SELECT count(*) AS n FROM rollouts WHERE end_reason = 'server_unavailable'").to_pylist()
        assert failed[0]["n"] >= 1
        server.troubles.clear()
        explore(tmp_path / "data", "corridor", agent + server.url, attempts=2, tasks=10, concurrent=4, retry_failed=True)
    store = open_store(tmp_path / "data")
    assert store.sql("SELECT end_reason, count(*) AS n FROM rollouts GROUP BY ALL").to_pylist() == [{"end_reason": "done", "n": 20}]


def test_a_missing_package_is_all_that_is_reported(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingPackageError, match=r"tratree-data\[agents\]"):
        make_agent("openai:model=m", base_url="http://127.0.0.1:9/v1").act([request()])
    gc.collect()
    assert not [text for warning in recwarn if "never awaited" in (text := str(warning.message))]  # other tests leave files open
