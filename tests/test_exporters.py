"""`tratree export`: read back by the tools' own readers where one is on PyPI, and exactly by our own importers."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers.shared_data import SHARED, needs_shared
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tratree_data import create_store, export, import_log, open_store
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.exporters import FORMATS, adp, agenttraj, atif, sts, verifiers
from tratree_data.exporters.trajectories import Trajectory
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import FORMATS as IMPORT_FORMATS
from tratree_data.importers.log_records import Options, Record
from tratree_data.importers.readers import jsonl
from tratree_data.importers.turns.chat import record_of_chat
from tratree_data.messages import messages_of_steps
from tratree_data.store.schemas import arrow_schema, table_from_rows
from tratree_data.store.writing.writer import commit, writing

TRAJECTORY_FORMATS = [name for name in FORMATS if name not in ("trl", "credits")]
STEPS = [
    {
        "observation": "You see a door.",
        "thought": "Open it.\n\nAction:\nnot this",
        "action": "open door",
        "reward": 0.0,
        "valid": True,
        "response": "Thought: raw",
    },
    {"observation": "", "thought": "", "action": ""},
    {"observation": "Observation: it says so itself", "thought": "", "action": "Thought: an odd action\nAction: indeed", "reward": 0.25},
    {"observation": "  spaces, \u00e9, \U0001f600, <script>", "thought": "x", "action": "\nend\n"},
]
LINES = [
    {"task_id": "a/1", "env": "webshop", "instruction": "Buy a mug.", "reward": 0.5, "success": False, "steps": STEPS,
     "prompt": "You shop.", "model": "m", "agent": "bot", "split": "dev", "end_observation": "Bye.", "end_reason": "done"},
    {"task_id": "a/1", "env": "webshop", "instruction": "Buy a mug.", "reward": None, "steps": STEPS[:1]},
    {"task_id": "b", "env": "alf/../world", "instruction": "see a door", "reward": 1, "success": True, "steps": STEPS[1:]},
]  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    (folder / "a.jsonl").write_text("\n".join(json.dumps(line) for line in LINES), encoding="utf-8")
    import_log(folder / "d", folder / "a.jsonl", "jsonl")
    return folder / "d"


def contents(directory: Path) -> dict[str, list[dict]]:
    """All but the file the rows came from, and its format."""
    store = open_store(directory)
    rollouts = store.sql("SELECT * EXCLUDE (source, format) FROM rollouts ORDER BY rollout_id")
    return {"rollouts": rollouts.to_pylist(), "steps": store.sql("SELECT * FROM steps ORDER BY rollout_id, step").to_pylist()}


@pytest.mark.parametrize("format", TRAJECTORY_FORMATS)
def test_what_is_exported_is_imported_exactly(dataset, tmp_path, format):
    report = export(dataset, tmp_path / "out", format)
    assert report.counts["trajectories"] == 3
    import_log(tmp_path / "back", tmp_path / "out", format, strict=True)
    assert contents(tmp_path / "back") == contents(dataset)
    assert import_log(tmp_path / "back", tmp_path / "out", format).counts["already_there"] == 3


texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)
steps = st.lists(
    st.fixed_dictionaries(
        {"observation": texts, "thought": texts, "action": texts}, optional={"reward": st.floats(-5, 5), "valid": st.booleans()}
    ),
    min_size=1,
    max_size=4,
)
records = st.fixed_dictionaries(
    {
        "task_id": texts.filter(str.strip),
        "env": texts.filter(str.strip),
        "instruction": texts,
        "reward": st.none() | st.floats(0, 1),
        "steps": steps,
    },
    optional={"prompt": texts, "end_observation": texts, "success": st.booleans()},
)


WRITE: dict[str, Callable[[Trajectory], str]] = {
    "adp": lambda trajectory: json.dumps(adp.render(trajectory)),
    "atif": lambda trajectory: json.dumps(atif.render(trajectory)),
    "sts": lambda trajectory: "\n".join(json.dumps(line) for line in sts.render(trajectory)),
    "verifiers": lambda trajectory: json.dumps(verifiers.render(trajectory)),
    "agenttraj": lambda trajectory: json.dumps(agenttraj.render(trajectory, agenttraj.Items())),
}


@pytest.mark.parametrize("format", TRAJECTORY_FORMATS)
@seed(7)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=records)
def test_any_texts_survive(tmp_path, format, line):
    wanted = jsonl.parse(Options(), "x", line)
    rollout = {name: getattr(wanted, name, None) for name in arrow_schema("rollouts").names}
    rollout |= {"rollout_id": "0123456789abcdef", "attempt": 0, "score": wanted.reward, "split": "train", "agent": "me"}
    (tmp_path / "file.jsonl").write_text(WRITE[format](Trajectory(rollout, [asdict(step) for step in wanted.steps])), encoding="utf-8")
    (found,) = IMPORT_FORMATS[format](LogFile(tmp_path / "file.jsonl", "x"), Options())
    assert isinstance(found, Record), found
    assert found.steps == wanted.steps
    for name in ("environment", "task_id", "instruction", "prompt", "reward", "success", "end_observation"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert found.rollout_id == "0123456789abcdef"


names = st.text("abcdef_", min_size=1, max_size=6)
arguments = st.one_of(st.sampled_from(["", "{}", "null", "not json", '{"b": 1.0, "a": "é"}', '{"a": 1, "a": 2}', "[1]"]), texts)
tool_calls = st.lists(st.fixed_dictionaries({"id": st.none() | names, "name": names, "arguments": arguments}), max_size=3)
said_to_it = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "tool"]), "content": st.none() | texts},
    optional={"tool_call_id": names, "name": names},
)
said_by_it = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | texts}, optional={"reasoning_content": texts, "tool_calls": tool_calls}
)
LAST = {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "name": "end", "arguments": "{}"}]}
chats = st.lists(said_to_it | said_by_it, min_size=1, max_size=6).map(lambda messages: [*messages, LAST])


@pytest.mark.parametrize("format", ["atif", "sts", "verifiers"])
@seed(11)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=chats, tools=st.none() | st.just([{"type": "function", "function": {"name": "end", "parameters": {}}}]))
def test_any_conversation_survives(tmp_path, format, messages, tools):
    made = record_of_chat(messages, source="x", environment="e", task_id="t", tools=tools)
    rollout = {name: getattr(made, name, None) for name in arrow_schema("rollouts").names}
    rollout |= {"rollout_id": "0123456789abcdef", "attempt": 0, "score": None, "split": "train", "agent": "me"}
    rollout |= {"tools": json.dumps(tools) if tools else None}
    steps = [asdict(step) for step in made.steps]
    written = Trajectory(rollout, steps)
    assert written.messages() == messages
    (tmp_path / "chat.jsonl").write_text(WRITE[format](written), encoding="utf-8")
    (found,) = IMPORT_FORMATS[format](LogFile(tmp_path / "chat.jsonl", "x"), Options())
    assert isinstance(found, Record), found
    end = found.end_observation if found.end_messages is None else found.end_messages
    assert messages_of_steps(found.prompt, [asdict(step) for step in found.steps], end) == messages
    assert (found.tools or None) == tools


@needs_shared
def test_real_logs_survive(tmp_path):
    import_log(tmp_path / "d", SHARED / "trajectories/fireact_hotpotqa/normalized.jsonl", "jsonl")
    export(tmp_path / "d", tmp_path / "out", "adp")
    import_log(tmp_path / "back", tmp_path / "out", "adp", strict=True)
    assert contents(tmp_path / "back") == contents(tmp_path / "d")


def test_atif_reads_it(dataset, tmp_path):
    reader = pytest.importorskip("atif", reason="pip install atif")
    export(dataset, tmp_path / "out", "atif")
    documents = [reader.Trajectory.model_validate_json(path.read_text(encoding="utf-8")) for path in sorted((tmp_path / "out").iterdir())]
    assert len(documents) == 3
    shop = next(document for document in documents if document.agent.name == "bot")
    assert [step.source for step in shop.steps] == ["system", "user", "agent", "agent", "agent", "agent"]
    assert shop.steps[1].message == "Buy a mug.\n\nYou see a door."
    assert shop.steps[-1].observation.results[0].content == "Bye."


READ_EPISODES = """
import sys
from pathlib import Path
from verifiers.v1.configs.agent import WireAgentConfig
from verifiers.v1.state import State
from verifiers.v1.task import WireTaskData
from verifiers.v1.trace import Trace
from verifiers.v1.utils.trace_store import read_episodes
for episode in read_episodes(Path(sys.argv[1]), Trace[WireTaskData, State, WireAgentConfig]):
    trace = episode.traces[0]
    print(episode.env.id, trace.task.data.id, trace.reward, trace.num_turns, trace.messages[0].role)
"""


@pytest.mark.skipif(
    "TRATREE_VERIFIERS_PYTHON" not in os.environ, reason="TRATREE_VERIFIERS_PYTHON names no Python with `pip install verifiers`"
)
def test_verifiers_reads_it(dataset, tmp_path):
    """In an environment of its own, for verifiers pins an older openai than ours."""
    export(dataset, tmp_path / "out", "verifiers")
    command = [os.environ["TRATREE_VERIFIERS_PYTHON"], "-c", READ_EPISODES, str(tmp_path / "out")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    assert told[:3] == ["alf/../world b 1.0 3 user", "webshop a/1 0.5 4 system", "webshop a/1 0 1 user"]


def test_sts_has_what_the_hub_asks_for(dataset, tmp_path):
    export(dataset, tmp_path / "out", "sts")
    for path in (tmp_path / "out").iterdir():
        header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert (header["type"], header["id"]) == ("session", path.stem.partition("-")[2])
        assert header["harness"] == "llama.app", "the one that the Hub's viewer knows"
        assert {line["type"] for line in lines} == {"message"}
        assert {line["message"]["role"] for line in lines} <= {"system", "user", "assistant"}
        assert all(isinstance(line["message"]["content"], str) for line in lines)


def test_adp_holds_only_what_every_version_of_its_schema_allows(dataset, tmp_path):
    export(dataset, tmp_path / "out", "adp")
    for line in (tmp_path / "out/trajectories.jsonl").read_text(encoding="utf-8").splitlines():
        trajectory = json.loads(line)
        assert set(trajectory) == {"id", "content", "details"}
        for item in trajectory["content"]:
            fields = {"text_observation": {"class_", "content", "source"}, "message_action": {"class_", "content", "description"}}
            assert set(item) == fields[item["class_"]]


def test_agenttraj_is_a_list_with_numbered_items(dataset, tmp_path):
    export(dataset, tmp_path / "out", "agenttraj")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "alf-..-world_train.json",
        "webshop_dev.json",
        "webshop_train.json",
    ]
    (item,) = json.loads((tmp_path / "out/webshop_dev.json").read_text(encoding="utf-8"))
    assert item["item_id"] == "webshop_0"
    assert [(said["from"], said["loss"]) for said in item["conversations"][:4]] == [
        ("human", None),
        ("gpt", False),
        ("human", None),
        ("gpt", True),
    ]


def test_trl_rows_load_with_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    messages = [{"role": "user", "content": "u"}]
    answers = [[{"role": "assistant", "content": text}] for text in ("good", "bad")]
    pair = {
        "pair_id": "p", "tree_id": "t", "environment": "e", "task_id": "k", "split": "train", "kind": "divergence", "node_id": "n",
        "chosen_node_id": "c", "rejected_node_id": "r", "chosen_rollout_id": "x", "rejected_rollout_id": "y", "chosen_score": 1.0,
        "rejected_score": 0.0, "margin": 1.0, "prompt": messages, "chosen": answers[0], "rejected": answers[1],
    }  # fmt: skip
    create_store(tmp_path / "d")
    with writing(tmp_path / "d"):
        commit(tmp_path / "d", "pairs", {"pairs": table_from_rows("pairs", [pair])}, settings={}, reads={})
    assert export(tmp_path / "d", tmp_path / "out", "trl").counts == {"pairs": 1}
    rows = datasets.load_dataset("json", data_files=str(tmp_path / "out/pairs.jsonl"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows[0] == {"prompt": messages, "chosen": answers[0], "rejected": answers[1]}


def test_clear_errors(dataset, tmp_path):
    with pytest.raises(NotFoundError, match="Did you mean 'atif'"):
        export(dataset, tmp_path / "out", "atiff")
    with pytest.raises(NotFoundError, match="tratree pairs"):
        export(dataset, tmp_path / "out", "trl")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(BadInputError, match="exists, but an export needs"):
        export(dataset, tmp_path / "full", "adp")
    assert (tmp_path / "full/file").exists()
    with pytest.raises(NotFoundError, match="No such folder"):
        export(tmp_path / "none", tmp_path / "out", "adp")


CALLS = [
    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"at": 1.0}'}},
    {"id": "c1", "type": "function", "function": {"name": "go", "arguments": "not json"}},
]
CHAT = {
    "task_id": "t", "trial": 1, "environment": "tools", "reward": 1,
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}],
    "messages": [
        {"role": "system", "content": "You help."},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Look around."},
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": CALLS},
        {"role": "tool", "content": "a room", "tool_call_id": "c2", "name": "look"},
        {"role": "tool", "content": "no way", "tool_call_id": "c1"},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "A room."},
        {"role": "user", "content": "Thanks", "name": "ann"},
    ],
}  # fmt: skip


def assert_equal_after_a_round_trip(tmp_path: Path, format: str) -> None:
    export(tmp_path / "d", tmp_path / "out", format)
    import_log(tmp_path / "back", tmp_path / "out", format, strict=True)
    ours, theirs = contents(tmp_path / "d"), contents(tmp_path / "back")
    for rows in (*ours.values(), *theirs.values()):
        for row in rows:
            row.pop("metadata")
    assert theirs == ours


@pytest.mark.parametrize("format", ["sts", "verifiers", "atif"])
def test_messages_tool_calls_and_tools_survive(tmp_path, format):
    (tmp_path / "a.jsonl").write_text(json.dumps(CHAT))
    import_log(tmp_path / "d", tmp_path / "a.jsonl", "messages", strict=True)
    assert_equal_after_a_round_trip(tmp_path, format)


def claude_session(folder: Path, name: str, *said: tuple[str, str, bool]) -> None:
    common = {"isSidechain": False, "userType": "external", "cwd": "/repo", "sessionId": name, "version": "2.1.0"}
    rows = [
        {**common, "uuid": f"{name}{i}", "parentUuid": f"{name}{i - 1}" if i else None, "type": role, "isMeta": by_tool,
         "message": {"role": role, "content": text, **({"id": f"m{i}", "model": "m"} if role == "assistant" else {})}}
        for i, (role, text, by_tool) in enumerate(said)
    ]  # fmt: skip
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize("format", ["atif", "verifiers", "sts"])
def test_what_an_agents_program_said_stays_out_of_observations(tmp_path, format):
    """Nothing in its words says so; and where nothing else was said, it is the observation."""
    log = tmp_path / "log"
    log.mkdir()
    program, answer = ("user", "Continue from where you left off.", True), ("assistant", "Done.", False)
    claude_session(log, "beside", ("user", "Fix it.", False), program, answer, program)
    claude_session(log, "alone", ("user", "<command-name>/init</command-name>", False), program, answer)
    import_log(tmp_path / "d", log)
    seen = open_store(tmp_path / "d").sql("SELECT observation FROM steps ORDER BY ALL")["observation"].to_pylist()
    assert seen == ["<command-name>/init</command-name>\n\nContinue from where you left off.", "Fix it."]
    assert_equal_after_a_round_trip(tmp_path, format)
