"""Agents that call tools, and agents and environments of the user's own: functions, instances and files."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import corridor
from helpers.chat_server import ChatServer

from tratree_data import build, evaluate, explore, open_store, replay, search
from tratree_data.agents import parse_specification
from tratree_data.environments.tools import ACT, Tool, action_of_call, call_of_action
from tratree_data.environments.webshop import TOOLS, WebShop
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.messages import messages_of_steps
from tratree_data.models.tool_calls import parse_message

SEEN: list[list[dict[str, Any]]] = []


def call(name: str, number: int = 0, **arguments: str) -> dict[str, Any]:
    return {"id": f"call-{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def shopper(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """WebShop's own expert, by calls: one at first, then all that are left in one turn."""
    assert [tool["function"]["name"] for tool in tools] == ["search", "click"]
    SEEN.append(messages)
    shop = WebShop()
    task = next(task for task in shop.tasks("train")[:3] if shop.reset(task).instruction in messages[1]["content"])
    made = [call_of_action(TOOLS, action) for action in shop.expert_actions(task) or []]
    done = sum(len(message.get("tool_calls", ())) for message in messages)
    chosen = [one for one in made[done : 1 if done == 0 else None] if one]
    calls = [{"id": f"{done + i}", "function": {"name": name, "arguments": text}} for i, (name, text) in enumerate(chosen)]
    return {"content": "I know what I want.", "tool_calls": calls}


@pytest.fixture(scope="module")
def shopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("shopped") / "data"
    SEEN.clear()
    explore(data, "webshop", shopper, attempts=1, tasks=3)
    return data


def test_calls_become_the_actions_that_an_agent_would_write(shopped: Path, tmp_path: Path) -> None:
    """The tree is the same, so both kinds of agents can share it; a turn of several calls is one step with several lines."""
    explore(tmp_path / "react", "webshop", "expert", attempts=1, tasks=3)
    query = "SELECT task_id, string_agg(action, chr(10) ORDER BY step) FROM steps JOIN rollouts USING (rollout_id) GROUP BY 1 ORDER BY 1"
    assert open_store(shopped).sql(query) == open_store(tmp_path / "react").sql(query)
    counts = open_store(shopped).sql("SELECT step_count, score, success, agent, sampling ->> 'form' AS form FROM rollouts").to_pylist()
    assert counts == [{"step_count": 2, "score": 1.0, "success": True, "agent": "shopper", "form": "chat"}] * 3


def test_the_stored_messages_are_what_the_agent_saw(shopped: Path) -> None:
    store = open_store(shopped)
    for rollout in store.read("rollouts").to_pylist():
        steps = store.sql("SELECT * FROM steps WHERE rollout_id = $id ORDER BY step", {"id": rollout["rollout_id"]}).to_pylist()
        messages = messages_of_steps(rollout["prompt"], steps, rollout["end_messages"])
        assert [message["role"] for message in messages[:5]] == ["system", "user", "assistant", "tool", "assistant"]
        assert {message["tool_call_id"] for message in messages if message["role"] == "tool"} == {
            call["id"] for message in messages for call in message.get("tool_calls", ())
        }
        asked = [saw for saw in SEEN if saw[1] == messages[1] and len(saw) == 4]
        assert [message["content"] for message in asked[0]] == [message["content"] for message in messages[:4]]
        assert [tool["function"]["name"] for tool in json.loads(rollout["tools"])] == ["search", "click"]


def test_paths_of_calls_are_replayed(shopped: Path) -> None:
    build(shopped, embedder="exact")
    search(shopped)
    replay(shopped)
    assert (
        open_store(shopped).sql("SELECT replayed, replay_score FROM replays").to_pylist() == [{"replayed": True, "replay_score": 1.0}] * 3
    )


def test_a_prefix_is_repeated_by_calls(shopped: Path) -> None:
    store = open_store(shopped)
    node = store.sql(
        "SELECT node_id, task_id FROM nodes JOIN rollouts USING (tree_id) WHERE depth = 1 ORDER BY node_id LIMIT 1"
    ).to_pylist()[0]
    seen: list[list[dict[str, Any]]] = []

    def stop(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        seen.append(messages)
        return {"content": "done", "tool_calls": [call("click", value="Back to Search")]}

    explore(shopped, "webshop", stop, attempts=1, max_steps=None, branch_from=f"SELECT '{node['node_id']}' AS node_id", budget=1)
    assert [message["role"] for message in seen[0]] == ["system", "user", "assistant", "tool"]
    assert seen[0][2]["tool_calls"][0]["function"]["name"] == "search"


def test_what_cannot_be_called_is_said_in_the_result(tmp_path: Path) -> None:
    answers = [
        {"content": "Hm."},
        {"tool_calls": [call("fly")]},
        {"tool_calls": [{"id": "a", "function": {"name": "search", "arguments": "{"}}]},
        {"tool_calls": [call("search"), call("search", 1, keywords="a\nred  shirt"), call("click", 2, value="Nowhere")]},
    ]
    with ChatServer(answer=lambda body: answers[min(len([m for m in body["messages"] if m["role"] == "assistant"]), 3)]) as server:
        explore(tmp_path / "data", "webshop", f"openai:model=m,form=chat,base_url={server.url}", attempts=1, tasks=1, max_steps=5)
    steps = open_store(tmp_path / "data").read("steps").to_pylist()
    assert [step["action"] for step in steps] == ["", "", "", "search[a red shirt]\nclick[Nowhere]", "search[a red shirt]\nclick[Nowhere]"]
    assert steps[1]["observation"].startswith("No tool was called")
    assert steps[2]["observation"] == "There is no tool 'fly'. Tools: search, click."
    assert steps[3]["observation"] == "The arguments of search are not JSON."
    assert steps[4]["observation"].startswith("search needs keywords.\n\n")
    assert [step["valid"] for step in steps] == [False, False, False, True, False]
    assert [tool["function"]["name"] for tool in server.seen[0]["tools"]] == ["search", "click"]
    assert [message["role"] for message in server.seen[4]["messages"][-4:]] == ["assistant", "tool", "tool", "tool"]


def test_an_environment_without_tools_offers_one_and_takes_one_call_a_turn(tmp_path: Path) -> None:
    walk = [call("act", number, action="right") for number in range(2)]
    game = corridor.Corridor()

    def walker(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        assert [tool["function"]["name"] for tool in tools] == ["act"]
        assert messages[0]["content"].endswith("Instead of writing an action, call a tool.")
        return {"tool_calls": walk}

    explore(tmp_path / "data", game, walker, attempts=1, tasks=["train-1-2"], max_steps=2)  # type: ignore[arg-type]
    steps = open_store(tmp_path / "data").read("steps").to_pylist()
    assert [step["action"] for step in steps] == ["right", "right"]
    assert steps[1]["observation"].endswith("Not carried out: this environment takes one call per turn.")
    assert open_store(tmp_path / "data").read("rollouts")["environment"].to_pylist() == ["corridor"]


def test_a_function_of_messages_writes_text(tmp_path: Path) -> None:
    explore(tmp_path / "data", corridor.Corridor, lambda messages: "Thought: On.\nAction: right", attempts=2, tasks=3, max_steps=3)
    assert set(open_store(tmp_path / "data").read("steps")["action"].to_pylist()) == {"right"}


def test_an_agent_whose_answers_cannot_be_carried_out_is_reported_with_the_reason(tmp_path: Path) -> None:
    def wrong(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        return {"tool_calls": [call("act", 0, command="right")]}

    result = explore(tmp_path / "data", corridor.Corridor, wrong, attempts=1, tasks=1, max_steps=2)
    assert result.notes[-1] == "2 of 2 actions were invalid, the first '(no action)', and the environment answered: act needs action."
    assert str(result).splitlines()[0] == "explore: 1 rollout, 2 steps"
    assert result.notes[-1] in str(result)


def test_agents_and_environments_are_found_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helper.py").write_text("ACTION = 'Action: right'\n")
    (tmp_path / "mine.py").write_text("from helper import ACTION\ndef answer(messages):\n    return ACTION\n")
    source = Path(corridor.__file__).read_text(encoding="utf-8")
    (tmp_path / "hall.py").write_text(source.replace("in_process = True", "in_process = False"))
    report = explore("data", "hall.py:Corridor", "mine.py:answer", attempts=1, tasks=2, max_steps=2)
    assert report.counts == {"rollouts": 2, "steps": 4}
    evaluate("mine.py:answer", "hall.py:Corridor", "scores", split="test", tasks=1, seeds=1, max_steps=2)
    assert open_store("scores").count("evaluations") > 0
    for wrong, message in (("mine.py:nothing", "No agent was found at"), ("gone.py:answer", "No agent was found at")):
        with pytest.raises(NotFoundError, match=message):
            explore("other", "hall.py:Corridor", wrong, attempts=1, tasks=1)
    (tmp_path / "broken.py").write_text("def answer(:\n")
    with pytest.raises(NotFoundError, match="No agent was found"):
        explore("other", "hall.py:Corridor", "broken.py:answer", attempts=1, tasks=1)


def test_an_own_agent_takes_options_and_an_instance_keeps_its_state(tmp_path: Path) -> None:
    parsed = parse_specification("helpers.corridor:Walker,slips=0,temperature=0.5")
    assert (parsed.name, parsed.options, parsed.sampling) == ("helpers.corridor:Walker", {"slips": 0}, {"temperature": "0.5"})
    thinker = corridor.Thinker(slips=0.0)
    explore(tmp_path / "data", "helpers.corridor:Corridor", [parsed.name + ",slips=0", thinker], attempts=1, tasks=4)
    scores = open_store(tmp_path / "data").sql("SELECT score, count(*) AS n FROM rollouts GROUP BY 1").to_pylist()
    assert scores == [{"score": 1.0, "n": 8}]
    with pytest.raises(BadInputError, match="is not an agent"):
        explore(tmp_path / "other", "helpers.corridor:Corridor", 7, attempts=1, tasks=1)
    with pytest.raises(BadInputError, match="form must be chat or react"):
        explore(tmp_path / "other", "helpers.corridor:Corridor", "openai:model=m,base_url=http://127.0.0.1:9,form=xml", tasks=1)


def test_a_call_is_one_line_and_back() -> None:
    assert action_of_call(TOOLS, "search", '{"keywords": "a [SEP] b\\n c"}') == ("search[a [SEP] b c]", "")
    assert action_of_call(TOOLS, "search", "[1]") == (None, "search needs keywords.")
    assert call_of_action(TOOLS, "click[Buy Now]") == ("click", '{"value": "Buy Now"}')
    assert call_of_action(TOOLS, "think[x]") is None
    assert call_of_action([ACT], "go to desk 1") == ("act", '{"action": "go to desk 1"}')
    put = Tool("put", "", {"what": "", "where": ""}, "put {what} in {where}")
    assert action_of_call([put], "put", '{"what": "cup", "where": "sink"}') == ("put cup in sink", "")
    assert call_of_action([put], "put cup in sink") == ("put", '{"what": "cup", "where": "sink"}')


WRITTEN = {
    "hermes": 'Let me see.\n<tool_call>\n{"name": "f", "arguments": {"a": "b"}}\n</tool_call>',
    "two": '<tool_call>{"name": "f", "arguments": {"a": "b"}}</tool_call>\n<tool_call>{"name": "g", "arguments": {}}</tool_call>',
    "thinking": '<think>\nHm.\n</think>\n\n<tool_call>{"name": "f", "arguments": {"a": "b"}}</tool_call>',
    "coder": "<tool_call>\n<function=f>\n<parameter=a>\nb\n</parameter>\n</function>\n</tool_call>",
    "llama": '<|python_tag|>{"name": "f", "parameters": {"a": "b"}}',
    "mistral": '[TOOL_CALLS] [{"name": "f", "arguments": {"a": "b"}, "id": "123456789"}]',
    "mistral, named": '[TOOL_CALLS]f[ARGS]{"a": "b"}[TOOL_CALLS]g{"c": {"d": 1}}',
}


@pytest.mark.parametrize("family", WRITTEN)
def test_calls_are_read_in_the_formats_of_families(family: str) -> None:
    message = parse_message(WRITTEN[family])
    assert message["tool_calls"][0]["name"] == "f"
    assert message["tool_calls"][0]["arguments"] == {"a": "b"}
    assert len(message["tool_calls"]) == (2 if family in ("two", "mistral, named") else 1)
    assert message["content"] == ("Let me see." if family == "hermes" else None)
    assert message.get("reasoning_content") == ("Hm." if family == "thinking" else None)


@pytest.mark.parametrize(
    "text", ["Hello.", "<tool_call>{broken</tool_call>", '{"name": "f"}', '{"a": 1}', "[TOOL_CALLS] [1]", "{" * 100_000]
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert parse_message(text) == {"content": text}
