"""Each format's quirks, on small files written in the format (tests/data/logs), and the raw slices of real logs."""

import gzip
import json
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.read_logs import said
from helpers.shared_data import SHARED, needs_shared
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.files import json_stream
from tratree_data.importers.files.log_files import LogFile, json_members, json_records
from tratree_data.importers.formats import FORMATS, fitting_formats
from tratree_data.importers.import_log import find_files
from tratree_data.importers.log_records import Options, Problem, Record
from tratree_data.importers.turns import conversations

LOGS = Path(__file__).parent / "data/logs"
REAL = SHARED / "trajectories"


def read(format: str, path: str | Path, **options):
    """The records and problems of a log."""
    files = find_files(LOGS / path, format)
    items = [item for file in files for item in FORMATS[format](file, Options(**options))]
    return [item for item in items if isinstance(item, Record)], [item for item in items if isinstance(item, Problem)]


def acts(record: Record) -> list[tuple[str, str, str]]:
    return [(step.observation, step.thought, step.action) for step in record.steps]


def reasons(problems: list[Problem]) -> list[str]:
    return [problem.reason for problem in problems]


def test_eto_rollouts_lose_their_examples():
    (first, second), problems = read("eto", "eto/webshop", environment="webshop")
    assert acts(first) == [
        ("WebShop [SEP] Instruction: [SEP] i need a red mug under 20 dollars [SEP] Search", "I search for it.", "search[red mug]"),
        ("Back to Search [SEP] B01 [SEP] Red Mug [SEP] $9", "It fits.", "click[B01]"),
    ]
    assert (first.task_id, first.reward, first.success, first.end_reason) == ("7", 0.75, False, "done")
    assert first.instruction == "i need a red mug under 20 dollars"
    assert first.prompt.startswith("You are web shopping")
    assert first.end_observation == "Task completed"
    assert (second.reward, second.end_reason) == (None, "agent_error")
    assert (problems[0].subject, problems[0].reason) == ("webshop/9.json:1", "only_examples")


@pytest.mark.parametrize(
    ("folder", "named", "action"),
    [("sciworld", "sciworld", "activate stove"), ("sciworld", "scienceworld", "activate stove"), ("alfworld", "alfworld", "go to desk 1")],
)
def test_eto_cuts_as_many_examples_as_the_environment_has(folder, named, action):
    (record,), problems = read("eto", f"eto/{folder}", environment=named)
    assert not problems
    assert [step.action for step in record.steps] == [action]
    assert record.environment == named.replace("sciworld", "scienceworld")


def test_eto_rollouts_without_an_environment_are_refused_not_guessed(tmp_path):
    with pytest.raises(BadInputError, match=r"--environment webshop, scienceworld or alfworld"):
        import_log(tmp_path / "d", LOGS / "eto/sciworld", "eto")
    assert not (tmp_path / "d").exists()


def test_eto_experts_science_gold_means_one_and_both_spellings_are_read():
    (first, second), problems = read("eto", "eto/sciworld_expert.json", environment="scienceworld")
    assert not problems
    assert acts(first) == [("Your task is to boil water.\nYou are in a kitchen.", "open it", "open fridge"), ("It is open.", "", "wait")]
    assert (first.reward, first.success, first.agent) == (1.0, True, "expert")
    assert (second.task_id, second.prompt, acts(second)) == ("boil_1", "Do science.", [("Your task is to boil tin.", "t", "wait1")])
    (game,), _ = read("eto", "eto/alfworld_expert.json", environment="alfworld")
    assert game.task_id == "pick_two_obj-Mug-Desk-1/trial_T1"


def test_messages_with_tools_null_contents_and_trials_that_open_differently():
    (first, second), problems = read("messages", "messages/tau.json", environment="retail")
    assert not problems
    assert acts(first)[0] == ("Hi, I want to exchange a mug.", "", 'find_user {"name": "Mia", "zip": "10"}')
    assert acts(second)[0][0] == "Hello! My mug is broken."
    assert acts(first)[2] == ("#1", "", 'exchange {"order": ')  # what the model wrote where it wrote no JSON
    assert first.instruction == second.instruction == "You are Mia. Exchange the mug."
    assert (first.task_id, first.trajectory_id, second.trajectory_id) == ("0", "tau:0", "tau:1")
    assert (first.prompt, first.end_observation) == ("You are a retail agent.", "###STOP###")


BARE = [
    {"role": "user", "content": [{"type": "text", "text": "List it."}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Look."}, {"type": "tool_use", "id": "t", "name": "ls", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "notes.txt"}]},
    {"role": "assistant", "content": "One file."},
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "conversations"),
    [
        ("one.json", json.dumps(BARE, indent=1), 1),
        ("many.json", json.dumps([BARE, BARE[:2]]), 2),
        ("a_conversation_a_line.jsonl", "\n".join(json.dumps(said) for said in (BARE, BARE[:2])), 2),
        ("a_message_a_line.jsonl", "\n".join(map(json.dumps, BARE)), 1),
        ("a_message_a_line.txt", "\n".join(map(json.dumps, BARE)), 1),
    ],
)
def test_bare_lists_of_messages_are_conversations(tmp_path, name, text, conversations):
    (tmp_path / name).write_text(text)
    assert fitting_formats(LogFile(tmp_path / name, name), Options()) == ["messages"]
    records, problems = read("messages", tmp_path / name, environment="shell")
    assert (len(records), problems) == (conversations, [])
    assert acts(records[0]) == [("List it.", "Look.", "ls"), ("notes.txt", "", "One file.")]
    assert records[0].instruction == "List it."


def test_what_only_resembles_a_list_of_messages_is_not_recognised(tmp_path):
    for text in (
        '[{"role": "admin", "content": "x"}]',
        '[{"role": "user"}]',
        '["user", "assistant"]',
        "[[1, 2]]",
        '[{"role": "user", "content": "x"}]',
    ):
        (tmp_path / "log.json").write_text(text)
        assert fitting_formats(LogFile(tmp_path / "log.json", "log.json"), Options()) == []
    broken = "\n".join([json.dumps(BARE[0]), '{"role": "assistant"', json.dumps(BARE[3])])
    (tmp_path / "broken.jsonl").write_text(broken)
    records, problems = read("messages", tmp_path / "broken.jsonl", environment="shell")
    assert (len(records), reasons(problems)) == (1, ["not_json"])


def test_messages_in_lines_thinking_parts_and_roles():
    (thinking, plain, parts), problems = read("messages", "messages/lines.jsonl", environment="sums")
    assert acts(thinking) == [("2+2?", "easy", "4")]
    assert plain.task_id == thinking.task_id  # the same question is the same task
    image = "[image application/json sha256:455fd6a86501544c 52 B]"
    assert acts(parts) == [(f"look\n{image}", "hm", 'bash {"command": "ls"}')], "an image is named, not dropped"
    assert parts.reward == 0.5
    assert reasons(problems) == ["empty_steps", "unknown_role"]


def test_react_logs_examples_thoughts_blank_actions_and_the_cut_off_end():
    items, problems = read("react", "react/reflexion.log", environment="alfworld")
    assert [record.source for record in items] == [f"react/reflexion.log:{line}" for line in (13, 33, 42, 51)]
    opening = "You are in the middle of a room. You see a fridge 1, and a mug 1.\nYour task is to: cool some mug."
    assert acts(items[0]) == [
        (opening, "First I take the mug.", "take mug 1"),
        ("You pick up the mug 1.", "", ""),
        ("Nothing happens.", "I will\ncool it.", "teleport to fridge 1"),
        ("Nothing happens.", "", "cool mug 1 with fridge 1"),
    ]
    assert items[0].instruction == "cool some mug."
    assert [record.reward for record in items] == [1.0, 1.0, 0.0, 0.0]  # OK, True, 0, 0
    assert [record.success for record in items] == [True, True, False, False]
    assert items[2].task_id == items[3].task_id != items[1].task_id
    assert [(p.subject, p.reason) for p in problems] == [("react/reflexion.log:60", "truncated")]


def test_react_duplicates_of_whole_episodes_are_dropped(tmp_path):
    report = import_log(tmp_path / "d", LOGS / "react/reflexion.log", "react", environment="alfworld")
    assert report.counts == {"rollouts": 3, "steps": 6, "already_there": 0, "dropped": 2}
    dropped = open_store(tmp_path / "d").read("dropped").to_pylist()
    assert sorted((row["subject"], row["reason"]) for row in dropped) == [
        ("react/reflexion.log:51", "duplicate"),
        ("react/reflexion.log:60", "truncated"),
    ]


def test_react_numbered_acts_and_mixed_rewards():
    (first, second), problems = read("react", "react/numbered.txt", environment="alfworld")
    assert not problems
    assert [(step.thought, step.action) for step in first.steps] == [("I take it.", "take cup 1"), ("", "look")]
    assert first.end_observation == "You see a cup 1.\nIt is blue."
    assert (first.reward, second.reward, second.success) == (1.0, 0.0, False)


MADE_UP = """Question: Which film is older?
Thought 1: I look for it.
Action 1: Search[Alien]
Observation 1: Alien is a film of 1986.
Thought 2: So I know.
Action 2: Finish[Aliens]
STATUS: OK
Observation 1: Alien is a film of 1979.
Thought 2: Now I know.
Action 2: Finish[Alien]
Observation 2: Episode finished
Reward: 0
Question: Which river is longer?
Action 1: Search[Nile]
Observation 1: 6,650 km
Reward: 1
"""


def test_react_turns_that_the_model_made_up_are_not_the_environments(tmp_path):
    """Nor is its verdict; and each question is an episode of its own."""
    (tmp_path / "a.log").write_text(MADE_UP)
    (first, second), problems = read("react", tmp_path / "a.log", environment="hotpotqa")
    assert not problems
    assert acts(first) == [
        ("Question: Which film is older?", "I look for it.", "Search[Alien]"),
        ("Alien is a film of 1979.", "Now I know.", "Finish[Alien]"),
    ]
    assert first.steps[0].response.startswith("Search[Alien]\nObservation 1: Alien is a film of 1986.\n"), "what it made up is kept"
    assert (first.reward, first.end_observation) == (0.0, "Episode finished")
    assert acts(second) == [("Question: Which river is longer?", "", "Search[Nile]")]
    assert second.reward == 1.0


def test_react_a_verdict_before_the_next_act_is_the_models_own(tmp_path):
    (tmp_path / "a.log").write_text("look around\n> open door\nSTATUS: OK\n> go in\nYou are inside.\nReward: 0\n")
    (record,), _ = read("react", tmp_path / "a.log", environment="e")
    assert (record.reward, record.steps[1].observation) == (0.0, "STATUS: OK")
    (tmp_path / "b.log").write_text("look around\n> think: I did it.\nReward: 1\nOK.\n> go in\nYou are inside.\nReward: 0\n")
    (record,), _ = read("react", tmp_path / "b.log", environment="e")
    assert (record.reward, record.steps[0].thought) == (0.0, "I did it.\nReward: 1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("You see.\nAct 1: a\nObs 1: b\nnext task\nAct 1: c\nObs 1: d\nReward: 1\n", "several_episodes"),
        ("You see.\n> go\nfine\n> \n> \nyes\nReward: 1\n", "empty_action"),
    ],
)
def test_react_refuses_what_it_would_have_to_guess(tmp_path, text, reason):
    (tmp_path / "a.log").write_text(text)
    records, problems = read("react", tmp_path / "a.log", environment="e")
    assert (records, reasons(problems)) == ([], [reason])


def test_sharegpt(tmp_path):
    items, problems = read("sharegpt", "sharegpt/chats.json", environment="chat")
    assert acts(items[0]) == [("Say hi.", "", "hi"), ("Again.", "", "hi hi")]
    assert items[0].prompt == "Be brief."
    assert items[1].task_id == items[2].task_id
    assert reasons(problems) == ["wrong_type", "wrong_type"]
    report = import_log(tmp_path / "d", LOGS / "sharegpt/chats.json", "sharegpt", environment="chat")
    assert report.counts == {"rollouts": 2, "steps": 3, "already_there": 0, "dropped": 3}
    assert any("score_out_of_range" in note and "--score-scale" in note for note in report.notes)


def test_atif():
    (record,), problems = read("atif", "atif/trajectory.json")
    assert not problems
    assert acts(record) == [("Create hello.txt", "easy\nI write it.", 'bash {"command": "touch hello.txt"}'), ("ok", "", "Done.")]
    assert (record.environment, record.task_id, record.reward, record.success) == ("terminal-bench", "hello-world", 1.0, True)
    assert (record.agent, record.model, record.prompt_tokens, record.completion_tokens) == ("terminus", "m-1", 100, 20)
    assert record.prompt == "You are at a terminal."
    assert record.steps[1].reward == 1.0
    _, problems = read("atif", "atif/more.jsonl")
    assert [(p.subject, p.reason) for p in problems] == [
        ("atif/more.jsonl:2", "other_format"), ("atif/more.jsonl:3", "empty_steps"), ("atif/more.jsonl:4", "wrong_type"),
    ]  # fmt: skip


def test_adp():
    (first, last, linked), problems = read("adp", "adp/std.json")
    assert acts(first) == [
        ("Find the price.", "the link\nI click it.", 'click {"bid": "12", "twice": false}'),
        ("[12] link 'Price'", "compute", "print(1)"),
        ("1", "", "<finish>1</finish>"),
    ]
    assert [step.reward for step in first.steps] == [0.25, 0.5, None]
    assert (first.environment, first.task_id, first.reward) == ("web", "price-1", 1.0)
    assert (last.task_id, last.environment) == ("adp-3", "")
    assert reasons(problems) == ["unknown_role"]
    assert said(first)[2][2] == [(None, "click", '{"bid": "12", "twice": false}')]
    assert [turn[0] for turn in said(first)] == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
    call = '{"language": "bash", "content": "ls | wc -l"}'
    assert said(linked)[1:4] == [
        ("assistant", "Two things.", [("k1", "execute_code", call), ("k2", "click", '{"bid": "1"}')]), ("tool", "3\n", "k1"),
        ("tool", "[1] p\n[image application/json sha256:a898f34e944bde2f 96 B]", "k2"),
    ], "calls with ids are one turn"  # fmt: skip
    assert (linked.steps[0].thought, linked.steps[0].reward, linked.steps[1].action) == ("At once.\nTwo things.", 0.5, "Three.")
    assert linked.metadata == {"source": "hand", "schema_version": "1.3.1", "available_apis": ["click"]}
    assert linked.steps[1].metadata["input_messages"][1]["url"] == "http://x"


def test_verifiers_takes_every_branch_and_cuts_what_no_model_said():
    (left, record), problems = read("verifiers", "verifiers/traces.jsonl")
    assert acts(record) == [("Guess.", "pick", 'guess {"word": "crane"}'), ("GYXXX", "", "I give up.")]
    assert (record.environment, record.task_id, record.prompt) == ("wordle", "4", "Play.")
    assert record.reward == pytest.approx(0.7)
    assert (record.trajectory_id, record.metadata["branch"]) == ("t-1", {"leaf": 7, "number": 1, "of": 2})
    assert [message["content"] for message in record.metadata["examples"]] == ["example?", "example!"]
    assert (acts(left), left.trajectory_id, left.task_id, left.reward) == ([("Guess.", "", "abandoned")], "t-1/4", "4", record.reward)
    assert reasons(problems) == ["empty_steps", "wrong_type"]  # an episode without a trace, and a node that is its own parent
    (first, second), problems = read("verifiers", "verifiers/results.jsonl")
    assert not problems
    assert (first.environment, first.task_id, first.prompt, acts(first)) == ("gsm8k", "0", "Solve.", [("1+1?", "", "2")])
    assert (acts(second), second.reward) == ([("1+1?", "", "3")], 0.0)


def verifiers_trace(*nodes: tuple, **more: object) -> dict:
    """Nodes as (parent, role, content, more)."""
    said = [
        {"parent": parent, "message": {"role": role, "content": text}, "sampled": role == "assistant", **dict(*rest)}
        for parent, role, text, *rest in nodes
    ]
    agent, task = {"name": "solver", "config": {"model": "m"}}, {"type": "T", "data": {"idx": 1}}
    return {"id": "t", "agent": agent, "task": task, "nodes": said, "rewards": {"r": {"score": 1, "weight": 1}}} | more


def test_verifiers_subagents_are_tasks_of_their_own_and_calls_say_what_a_turn_took(tmp_path):
    call = [{"node": 0, "type": "subagent_call"}]
    nodes = (
        (None, "user", "Fix it.", {"tools": [{"name": "ask", "description": "Asks.", "parameters": {"type": "object"}}]}),
        (0, "assistant", "I ask."), (None, "user", "Search.", {"semantic_parents": call}), (2, "assistant", "Found."),
        (None, "user", "Never answered."), (1, "user", "Found."), (5, "assistant", "Fixed."),
    )  # fmt: skip
    calls = [{"node": 1, "model": "m2", "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "finish_reason": "stop"}]
    episode = {"id": "e", "env": {"id": "x"}, "traces": [verifiers_trace(*nodes, calls=calls, stop_condition="max_turns")]}
    (tmp_path / "traces.jsonl").write_text(json.dumps(episode))
    (helper, main), problems = read("verifiers", tmp_path / "traces.jsonl")
    assert reasons(problems) == ["empty_steps"], "a branch in which nobody acts"
    assert acts(main) == [("Fix it.", "", "I ask."), ("Found.", "", "Fixed.")]
    assert (main.task_id, main.model, main.end_reason) == ("1", "m", "max_steps")
    assert [tool["function"]["name"] for tool in main.tools] == ["ask"]
    assert main.steps[0].metadata == {"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "stop_reason": "stop", "model": "m2"}
    assert (acts(helper), helper.trajectory_id) == ([("Search.", "", "Found.")], "t/3")
    assert helper.metadata["branch"] == {"leaf": 3, "number": 0, "of": 3, "links": ["subagent_call"]}
    assert helper.task_id != main.task_id


def test_verifiers_a_comb_of_branches_is_refused_before_it_is_read(tmp_path):
    nodes = [(i - 1 if i else None, "assistant", "a") for i in range(3_000)] + [(2_999, "assistant", "b") for _ in range(400)]
    (tmp_path / "traces.jsonl").write_text(json.dumps({"id": "e", "env": {"id": "x"}, "traces": [verifiers_trace(*nodes)]}))
    records, problems = read("verifiers", tmp_path / "traces.jsonl")
    assert (records, reasons(problems)) == ([], ["too_long"])


def test_vf_eval_results_are_of_the_environment_in_the_file_beside_and_equal_prompts_are_one_task(tmp_path):
    rows = [{"id": i // 2, "prompt": f"q{i % 2}", "completion": "a", "task": "default", "reward": 1.0, "answer": "b"} for i in range(4)]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "metadata.json").write_text('{"env": "math", "model": "gpt"}')
    records, problems = read("verifiers", tmp_path / "results.jsonl")
    assert not problems
    assert {(record.environment, record.model, record.metadata["answer"]) for record in records} == {("math", "gpt", "b")}
    assert records[0].task_id == records[2].task_id != records[1].task_id == records[3].task_id


def test_agenttraj():
    (shop, science), problems = read("agenttraj", "agenttraj/train.json")
    assert (shop.environment, shop.task_id, shop.instruction, shop.reward) == ("webshop", "webshop_12", "i need a red mug", None)
    assert [(step.thought, step.action) for step in shop.steps] == [("I search.", "search[red mug]"), ("Buy.", "click[B01]")]
    assert (science.environment, science.reward, science.success) == ("scienceworld", 0.5, False)
    assert reasons(problems) == ["missing_field"]


def test_sts():
    (record,), problems = read("sts", "sts/session.jsonl")
    assert not problems
    assert acts(record) == [("what time is it?", "ask the clock", "get_time"), ("15:00", "", "it is 15:00")]
    assert (record.environment, record.task_id, record.reward, record.agent) == ("clock", "time-1", 1.0, "my-agent")


@pytest.mark.parametrize("name", ["ic_bash.json", "ic_logs.json"])
def test_intercode_arrays_that_differ_and_observations_that_are_no_texts(name):
    (first, odd), problems = read("intercode", f"intercode/{name}")
    assert acts(first) == [("Count files", "", "ls"), ("a\n", "", "ls | wc -l")]
    assert [(step.reward, step.valid) for step in first.steps] == [(0.1, True), (1.0, None)]
    assert (first.task_id, first.reward, first.success) == ("bash-fs_1-0", 1.0, True)
    assert acts(odd) == [("Odd", "", "x"), ('["a", 1]', "", "")]
    assert odd.reward == 0.7  # no summary: the maximum over the turns
    assert reasons(problems) == ["missing_field"]


def test_fireact_texts_and_messages():
    (listed, text), problems = read("fireact", "fireact/traj.json")
    assert (acts(listed), listed.reward, listed.success) == ([("Who?", "recall", "finish[me]")], 1.0, True)
    assert acts(text) == [("Where?", "search\nit", "search[where]"), ("There.", "so", "finish[there]")]
    assert (text.task_id, text.end_reason) == ("hotpotqa-12", "done")
    assert reasons(problems) == ["wrong_type", "missing_field"]


def test_knowagent_two_files_false_and_zero_and_paths_that_are_no_actions(tmp_path):
    (first, second), problems = read("knowagent", "knowagent")
    assert [(step.thought, step.action) for step in first.steps] == [("look for it", "go to desk 1"), ("", "take pen 1")]
    assert (first.reward, second.reward, first.success, second.success) == (0.0, 0.0, False, False)
    assert reasons(problems) == ["empty_steps"]
    import_log(tmp_path / "d", LOGS / "knowagent", "knowagent")
    rows = open_store(tmp_path / "d").read("rollouts").to_pylist()
    assert [(row["task_id"], row["attempt"]) for row in rows] == [("task-a/trial-1", 0), ("task-a/trial-1", 1)]


def test_history_observations_come_after_actions_and_the_score_is_the_highest(tmp_path):
    (died, solved), problems = read("history", "history/run.json", score_scale=(0, 100))
    assert acts(died) == [
        ("Your task is to boil water.", "", "look around"),
        ("A kitchen.", "", "open door"),
        ("It is open.", "", "drink water"),
    ]
    assert (died.end_observation, died.task_id, died.reward, died.success, died.end_reason) == ("You die.", "boil/4", 33.0, False, "done")
    assert (solved.reward, solved.success) == (100.0, True)
    assert reasons(problems) == ["wrong_type"]
    import_log(tmp_path / "d", LOGS / "history/run.json", "history", score_scale="0,100")
    assert sorted(open_store(tmp_path / "d").read("rollouts").column("score").to_pylist()) == [0.33, 1.0]
    with pytest.raises(BadInputError, match=r"--score-scale 0,100"):
        import_log(tmp_path / "e", LOGS / "history/run.json", "history")


@pytest.mark.parametrize("beside", [True, False])
def test_history_finds_the_task_beside_the_inner_history(tmp_path, beside):
    task = {"taskName": "boil", "variationIdx": 4, "taskDescription": "Boil water."}
    inner = {"history": [{"action": "wait", "observation": "Hot.", "score": 1}]} | (task if beside else {"properties": task})
    (tmp_path / "run.json").write_text(json.dumps({"0": {"history": inner}}))
    (record,), problems = read("history", tmp_path / "run.json", score_scale=(0, 1))
    assert (problems, record.task_id, record.instruction, record.success) == ([], "boil/4", "Boil water.", True)


@pytest.mark.parametrize(("last", "scale"), [(1, "0,1"), (0.5, "0,1"), (67, "0,100"), (1000, "low,high")])
def test_history_recommends_the_scale_that_the_whole_log_fits(tmp_path, last, scale):
    """931 solved tasks of a log from 0 to 1 became 0.01 with the scale that was always recommended."""
    turns = [[{"action": "wait", "observation": "Hot.", "score": score}] for score in (0.25, 0, last)]
    (tmp_path / "run.json").write_text(json.dumps({str(i): {"history": turn, "taskName": "t"} for i, turn in enumerate(turns)}))
    with pytest.raises(BadInputError, match=rf"the highest of 3 is {last:g}\.\nNext: add --score-scale {scale}$"):
        import_log(tmp_path / "d", tmp_path / "run.json")


def test_sweagent_observations_come_after_and_demonstrations_are_not_the_agents():
    (demonstration, _, _, later, early), problems = read("sweagent", "sweagent", environment="swe")
    assert not problems
    opening, *_ = acts(early)[0]
    assert opening.startswith("We're currently solving")
    assert opening.endswith("bash-$")
    assert acts(early) == [
        (opening, "I look at it.", "open calc.py"),
        ("1:def add(a, b):\n2:    return a + b + 1\n", "I mend it.", "edit 2:2\n    return a + b\nend_of_edit"),
        ("File updated.", "", "submit"),
    ]
    assert early.steps[0].response == "I look at it.\n\n```\nopen calc.py\n```"
    assert (early.task_id, early.instruction, early.prompt) == ("repo__calc-1", "add(1, 2) gives 4", "SETTING: a shell.")
    assert (early.end_observation, early.end_reason, early.reward) == ("diff --git a/calc.py b/calc.py", "done", None)
    assert (early.prompt_tokens, early.completion_tokens) == (900, 70)
    assert said(later)[1:] == [
        ("user", "<pr_description>\nsub(1, 2) gives 0\n</pr_description>\nSolve it.", None),
        ("assistant", "Where is it?", [("c1", "bash", '{"command": "grep -n sub calc.py"}')]),
        ("tool", "OBSERVATION:\n5:def sub(a, b):", "c1"),
        ("assistant", "", [("c2", "bash", '{"command": "sed -i s/x/y/ calc.py"}')]),
        ("tool", "Your command ran successfully and did not produce any output.", "c2"),
    ], "calls and results as the model saw them"  # fmt: skip
    assert [step.thought for step in later.steps] == ["Where is it?", "One letter."]
    assert (later.task_id, later.model, later.agent, later.instruction) == ("repo__calc-2", "gpt-4o", "swe-agent", "sub(1, 2) gives 0")
    assert (later.end_reason, later.reward, later.success) == ("max_steps", 0.0, False)  # results.json
    assert [step["thought"] for step in later.metadata["not_in_history"]] == ["Exit due to cost limit"], "SWE-agent's own word"
    assert later.metadata["submission"].startswith("diff")
    assert [act[1:] for act in acts(demonstration)] == [("I look.", 'find_file {"file_name": "calc.py"}'), ("Done.", "submit")]


def test_mini_swe_agent_blocks_tool_calls_and_responses():
    (texts, calls), problems = read("sweagent", "sweagent/mini", environment="swe")  # its report, predictions and settings are no logs
    assert not problems
    assert [act[1:] for act in acts(texts)] == [
        ("I look for it.", "grep -n mul calc.py"),
        ("", "I give two:\n```bash\nls\n```\nand\n```bash\npwd\n```"),  # which it may not
        ("", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git diff"),
    ]
    assert texts.instruction == calls.instruction == "mul(2, 3) gives 5"
    assert (texts.reward, texts.success, texts.end_reason, texts.end_observation) == (1.0, True, "done", "diff")
    assert said(calls)[2:] == [
        ("assistant", "I look at both.", [("c1", "bash", '{"command": "cat calc.py"}'), ("c2", "bash", '{"command": "cat test.py"}')]),
        ("tool", "<returncode>0</returncode>\n<output>\none</output>", "c1"),
        ("tool", "<returncode>0</returncode>\n<output>\ntwo</output>", "c2"),
        ("assistant", "I mend it.", [("c3", "bash", '{"command": "sed -i s/+/*/ calc.py"}')]),
        ("tool", "<returncode>0</returncode>", "c3"), ("user", "", None),
    ]  # fmt: skip
    assert calls.steps[1].thought == "Now mend.\nI mend it."
    assert calls.steps[0].metadata["extra"]["cost"] == 0.01
    assert (calls.reward, calls.end_reason, calls.model) == (0.0, "max_steps", "deepseek/deepseek-chat")


def test_reports_beside_a_run_give_its_score_and_may_not_disagree(tmp_path):
    name = "repo__calc-1.traj"
    run = (LOGS / "sweagent/old" / name).read_bytes()

    def reward(folder: Path, **reports: object) -> float | None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(run)
        for stem, report in reports.items():
            (folder / f"{stem}.json").write_text(json.dumps(report))
        record = next(FORMATS["sweagent"](LogFile(folder / name, name), Options(environment="swe")))
        return record.reward if isinstance(record, Record) else record.reason

    task = "repo__calc-1"
    assert reward(tmp_path / "a", preds={task: "resolved"}, results={"resolved_ids": [task], "unresolved_ids": []}) == 1
    assert reward(tmp_path / "b", results={"resolved_ids": ["other"], "unresolved_ids": ["another"]}) is None  # not of this run
    assert reward(tmp_path / "c", results={"resolved": ["other"], "no_generation": [], "no_logs": []}) == 0
    assert reward(tmp_path / "d", results={"resolved": ["other"], "no_logs": [task]}) is None
    assert reward(tmp_path / "e", results={"resolved": 3, "resolved_ids": [task, 4, None]}) == 1
    assert reward(tmp_path / "e", results={"resolved_ids": [], "unresolved_ids": [task]}) == 0  # mended between two imports
    assert reward(tmp_path / "f", one={"resolved_ids": [task]}, two={"resolved_ids": [], "unresolved_ids": [task]}) == "ambiguous_score"
    (tmp_path / "g/results").mkdir(parents=True)
    (tmp_path / "g/results/results.json").write_text(json.dumps({"resolved": [task]}))
    assert reward(tmp_path / "g/trajs") == 1
    (tmp_path / "h.json").write_text(json.dumps({"resolved_ids": [task]}))
    assert reward(tmp_path / "h") is None  # a report of the folder above belongs to another run


def test_a_run_with_all_its_queries_may_be_larger_than_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "MAX_RECORD_BYTES", 20_000)
    monkeypatch.setattr(json_stream, "CHUNK", 1_000)
    query = [{"role": "user", "content": "The task." + " " * 5_000}]
    steps = [{"action": f"a{i}", "observation": f"o{i}", "response": "r", "thought": "t", "query": query} for i in range(40)]
    (tmp_path / "x.traj").write_text(json.dumps({"trajectory": steps, "history": [], "info": {}}, indent=2))
    ((record,), problems) = read("sweagent", tmp_path / "x.traj", environment="swe")
    assert not problems
    assert [step.action for step in record.steps] == [f"a{i}" for i in range(40)]
    assert [step.observation.strip() for step in record.steps] == ["The task.", *(f"o{i}" for i in range(39))]


def test_openhands_events_pairs_and_kinds():
    (older, pairs, newer), problems = read("openhands", "openhands", environment="swe")
    assert reasons(problems) == ["empty_steps"]
    assert said(older) == [
        ("system", "You are OpenHands.", None), ("user", "<issue>add is wrong</issue> Solve it.", None),
        ("assistant", "I look around.", [("c1", "execute_bash", '{"command": "ls"}')]), ("tool", "calc.py", "c1"),
        ("assistant", None, [("c2", "execute_bash", '{"command": "cat calc.py", "security_risk": "LOW"}'),
                             ("c3", "think", '{"thought": "It adds one too many."}')]),
        ("tool", "return a + b + 1", "c2"), ("tool", "Your thought has been logged.", "c3"),
        ("assistant", "Shall I go on?", None), ("user", "Please continue.", None), ("assistant", "finish", None),
    ], "calls of one answer are one turn"  # fmt: skip
    assert older.steps[1].action == 'execute_bash {"command": "cat calc.py"}\nthink {"thought": "It adds one too many."}'
    assert [step.thought for step in older.steps] == ["I look around.", "Both.", "", "Done."]
    assert older.steps[1].metadata["usage"] == {"prompt_tokens": 7, "completion_tokens": 3}
    assert [tool["function"]["name"] for tool in older.tools] == ["execute_bash"]
    assert (older.prompt, older.instruction, older.split) == ("You are OpenHands.", "add is wrong", "test")
    assert (older.reward, older.success, older.end_reason, older.prompt_tokens) == (1.0, True, "done", 800)
    assert (older.agent, older.model) == ("CodeActAgent", "claude-sonnet")
    assert acts(pairs) == [("Do it.", "I build.", "make"), ("ok", "", 'read {"path": "a.py", "start": 0}')]
    assert (pairs.reward, pairs.end_reason) == (None, "max_steps")  # the report beside it: its evaluation failed
    assert acts(newer) == [
        (
            "Mend div.\n\nMind the style.",
            "Hm.\nTwo at once.",
            'file_editor {"command": "view", "path": "/a.py"}\nterminal {"command": "ls"}',
        ),
        ("No such file.\n\na.py", "", 'create_issue {"summary": "div is wrong"}'),  # the tool's own, unlike the first call's
        ("#7", "", 'think {"thought": "All done?"}'),
        ("Logged.", "", 'finish {"message": "ok"}'),
    ]
    assert newer.tools == [{"type": "function", "function": {"name": "terminal", "description": "Runs."}}]
    assert said(newer)[3:5] == [("tool", "a.py", "t1"), ("tool", "No such file.", "t2")]
    assert said(newer)[2][2][0] == ("t1", "terminal", '{"command": "ls", "summary": "Look around", "security_risk": "LOW"}')
    assert (newer.reward, newer.end_reason, newer.trajectory_id, newer.split) == (0.0, "done", "output:2", "dev")


def test_openhands_names_its_environment_where_it_can(tmp_path):
    report = import_log(tmp_path / "d", LOGS / "openhands/output.jsonl", "openhands")
    assert report.counts["rollouts"] == 2
    assert set(open_store(tmp_path / "d").read("rollouts")["environment"].to_pylist()) == {"org/calc-bench"}


def test_table_with_columns_named(tmp_path):
    chats = [[{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}], None]
    pq.write_table(pa.table({"qid": ["q1", "q2"], "chat": chats, "score": [80.0, 20.0]}), tmp_path / "t.parquet")
    columns = {"task_id": "qid", "messages": "chat", "reward": "score"}
    report = import_log(tmp_path / "d", tmp_path / "t.parquet", "table", columns=columns, environment="qa", score_scale="percent")
    assert report.counts == {"rollouts": 1, "steps": 1, "already_there": 0, "dropped": 1}
    assert open_store(tmp_path / "d").read("rollouts").to_pylist()[0]["score"] == 0.8
    steps = [[{"observation": "o", "action": "a"}]]
    pq.write_table(
        pa.table({"task_id": ["t"], "env": ["e"], "steps": steps, "reward": [Decimal("0.25")], "instruction": ["i"]}),
        tmp_path / "s.parquet",
    )
    assert import_log(tmp_path / "d", tmp_path / "s.parquet", "table").counts["rollouts"] == 1
    assert 0.25 in open_store(tmp_path / "d").read("rollouts")["score"].to_pylist()
    with pytest.raises(BadInputError, match="task_id"):
        import_log(tmp_path / "d", tmp_path / "t.parquet", "table", columns={"taskid": "qid"})


def test_tables_of_the_hubs_large_collections_of_runs(tmp_path):
    """Messages with `text` and a boolean `target`, or with tool calls whose absent fields are null, as Parquet has them."""
    said = [("system", "S", None), ("user", None, "The issue."), ("ai", None, "I look.\n```\nls\n```"), ("user", None, "a.py")]
    talk = [{"cutoff_date": "2023", "mask": False, "role": role, "system_prompt": prompt, "text": text} for role, prompt, text in said]
    pq.write_table(pa.table({"instance_id": ["i-1"], "model_name": ["m"], "target": [True], "trajectory": [talk]}), tmp_path / "a.parquet")
    columns = {"messages": "trajectory", "task_id": "instance_id", "reward": "target", "model": "model_name"}
    ((record,), problems) = read("table", tmp_path / "a.parquet", columns=columns, environment="swe")
    assert not problems
    assert (record.prompt, record.task_id, record.reward, record.model) == ("S", "i-1", 1.0, "m")
    assert [(step.observation, step.response) for step in record.steps] == [("The issue.", "I look.\n```\nls\n```")]
    assert record.end_observation == "a.py"
    call = [{"function": {"arguments": '{"command": "ls"}', "name": "bash"}, "id": "c", "type": "function"}]
    asked = {"content": "The issue.", "name": None, "role": "user", "tool_call_id": None, "tool_calls": None}
    talk = [asked, {"content": None, "name": None, "role": "assistant", "tool_call_id": None, "tool_calls": call}]
    pq.write_table(pa.table({"instance_id": ["i-1"], "resolved": [0], "trajectory": [talk]}), tmp_path / "b.parquet")
    columns = {"messages": "trajectory", "task_id": "instance_id", "reward": "resolved"}
    ((record,), problems) = read("table", tmp_path / "b.parquet", columns=columns, environment="swe")
    assert (problems, record.reward, acts(record)) == ([], 0.0, [("The issue.", "", 'bash {"command": "ls"}')])


@pytest.mark.parametrize("named", ["adp", "eto", "react", "messages", "history", "jsonl"])
@pytest.mark.parametrize(
    ("fits", "path"),
    [
        ("intercode", "intercode/ic_bash.json"),
        ("knowagent", "knowagent/K_D0.jsonl"),
        ("atif", "atif/trajectory.json"),
        ("sweagent", "sweagent/old/repo__calc-1.traj"),
        ("sweagent", "sweagent/new/repo__calc-2.traj"),
        ("sweagent", "sweagent/mini/repo__calc-4/repo__calc-4.traj.json"),
        ("openhands", "openhands/output.jsonl"),
    ],
)
def test_the_wrong_format_is_reported_and_the_right_one_named(tmp_path, named, fits, path):
    with pytest.raises(BadInputError, match=f"it looks like {fits}"):
        import_log(tmp_path / "d", LOGS / path, named, environment="webshop")
    assert not (tmp_path / "d").exists()


def test_json_streams_give_the_same_as_json_whole(tmp_path, monkeypatch):
    """Values that are far longer than the buffer, numbers at its end, and escapes across it."""
    monkeypatch.setattr(json_stream, "CHUNK", 7)
    values = [
        12345678901,
        -1.5e-7,
        True,
        None,
        'text with \u00e9\U0001f600 and \\ " escapes' * 3,
        [],
        {},
        {"a": [1, {"b": "c"}]},
        False,
        "",
        "-Infinity",
    ]
    (tmp_path / "list.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    assert [value for _, value in json_records(LogFile(tmp_path / "list.json", "list.json"))] == values
    members = {f"key {i}": value for i, value in enumerate(values)} | {"logs": {"x": 1, "y": 2}}
    (tmp_path / "map.json").write_text(json.dumps(members, indent=1), encoding="utf-8")
    found = dict(item for _, item in json_members(LogFile(tmp_path / "map.json", "map.json"), inside=("logs",)))
    assert found == {key: value for key, value in members.items() if key != "logs"} | {"x": 1, "y": 2}
    (tmp_path / "empty.json").write_text('{"logs": {}, "steps": [], "turns": [1, 2], "rest": []}')
    pairs = [item for _, item in json_members(LogFile(tmp_path / "empty.json", "empty"), inside=("logs", "steps", "turns"))]
    assert pairs == [("turns", 1), ("turns", 2), ("rest", [])]
    with gzip.open(tmp_path / "list.json.gz", "wt", encoding="utf-8") as packed:
        json.dump(values, packed)
    assert [value for _, value in json_records(LogFile(tmp_path / "list.json.gz", "z"))] == values


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@seed(11)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(json_values, max_size=6), chunk=st.integers(1, 30), indent=st.none() | st.integers(0, 2), ascii=st.booleans())
def test_wherever_the_buffer_ends_a_json_list_reads_the_same(tmp_path, values, chunk, indent, ascii):
    (tmp_path / "a.json").write_text(json.dumps(values, indent=indent, ensure_ascii=ascii), encoding="utf-8", errors="surrogatepass")
    before, json_stream.CHUNK = json_stream.CHUNK, chunk
    try:
        found = list(json_records(LogFile(tmp_path / "a.json", "a")))
    finally:
        json_stream.CHUNK = before
    assert [value for _, value in found] == values


@pytest.mark.parametrize("chunk", [3, 2**20])
@pytest.mark.parametrize("layout", ["list", "lines", "members"])
def test_a_key_that_appears_twice_costs_its_record_and_no_other(tmp_path, monkeypatch, layout, chunk):
    """The last of two rewards would win without a word."""
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    texts = ['{"a": 1, "b": [{"c": 1}]}', '{"a": 0.2, "b": 1, "a": 0.9}', '{"a": {"c": 1, "c": 1}}', '{"a": 2}']
    parts = {
        "list": f"[{', '.join(texts)}]",
        "lines": "\n".join(texts),
        "members": ", ".join(f'"{i}": {text}' for i, text in enumerate(texts)),
    }
    file = LogFile(tmp_path / f"x.{'jsonl' if layout == 'lines' else 'json'}", "x")
    file.path.write_text(f"{{{parts[layout]}}}" if layout == "members" else parts[layout])
    items = [item for _, item in (json_members(file) if layout == "members" else json_records(file))]
    assert [item.reason for item in items if isinstance(item, Problem)] == ["repeated_key"] * 2
    assert "'a' appears twice" in items[1].detail
    assert "'c' appears twice" in items[2].detail
    first, last = items[0], items[3]
    assert (first, last) == (
        (("0", {"a": 1, "b": [{"c": 1}]}), ("3", {"a": 2})) if layout == "members" else ({"a": 1, "b": [{"c": 1}]}, {"a": 2})
    )


def test_a_key_that_appears_twice_in_one_run_a_cell_or_a_tool_call(tmp_path):
    run = (LOGS / "sweagent/old/repo__calc-1.traj").read_text().rstrip().removesuffix("}")
    (tmp_path / "twice.traj").write_text(run + ', "info": {}}')
    assert reasons(read("sweagent", tmp_path / "twice.traj", environment="swe")[1]) == ["repeated_key"]
    steps = '[{"observation": "o", "action": "a", "action": "b"}]'
    pq.write_table(pa.table({"task_id": ["t"], "env": ["e"], "steps": [steps]}), tmp_path / "t.parquet")
    assert reasons(read("table", tmp_path / "t.parquet")[1]) == ["repeated_key"]
    call = {"function": {"name": "buy", "arguments": '{"id": 1, "id": 2}'}}
    assert conversations.read_call(call, "call") == 'buy {"id": 1, "id": 2}'  # as the model wrote it


@pytest.mark.parametrize(
    ("answer", "thought", "action"),
    [
        ("THOUGHT: look\n```bash\nls\n```", "look", "ls"),
        ("Look.\n```mswea_bash_command\nls\npwd\n```\nDone.", "Look.", "ls\npwd"),
        ("Look.\n<mswea_bash_command>ls</mswea_bash_command>", "Look.", "ls"),
        ("```python\n1\n```", "", "```python\n1\n```"),
    ],
)
def test_mini_swe_agents_ways_of_writing_a_command(tmp_path, answer, thought, action):
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
    (tmp_path / "t.traj.json").write_text(json.dumps({"trajectory_format": "mini-swe-agent-1", "messages": messages}))
    ((record,), _) = read("sweagent", tmp_path / "t.traj.json", environment="swe")
    assert (record.task_id, acts(record)) == ("t", [("q", thought, action)])
    assert record.steps[0].response == answer


def test_a_fault_in_a_json_list_keeps_what_came_before(tmp_path):
    (tmp_path / "cut.json").write_text('[{"a": 1},\n {"a": 2},\n {"a": ', encoding="utf-8")
    items = list(json_records(LogFile(tmp_path / "cut.json", "cut.json")))
    assert [value for _, value in items[:2]] == [{"a": 1}, {"a": 2}]
    assert isinstance(items[2][1], Problem)
    assert items[2][0] == "cut.json:3"


def normalized(folder: str) -> dict[str, dict]:
    lines = (REAL / folder / "normalized.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["trajectory_id"]: row for row in map(json.loads, lines)}


MODELS = {"gpt-3.5-turbo": "gpt35-ft", "llama-2-13b": "llama2-13b", "llama-2-7b": "llama2-7b"}


def known_as(format: str, record: Record) -> str:
    """The trajectory's name in normalized.jsonl."""
    if format == "knowagent":
        return record.trajectory_id.removeprefix("KnowAgentALFWorld_")
    if format == "fireact":
        model = next(short for long, short in MODELS.items() if long in record.trajectory_id)
        return f"{model}:{record.trajectory_id.rsplit(':')[-1]}"
    return record.trajectory_id.replace("__", "/")


@needs_shared
@pytest.mark.parametrize(
    ("format", "folder", "in_both", "only_raw"),
    [("knowagent", "knowagent_alfworld", 80, 0), ("fireact", "fireact_hotpotqa", 75, 45), ("intercode", "intercode_bash", 154, 99)],
)
def test_raw_logs_import_to_what_normalized_says(format, folder, in_both, only_raw):
    """The two were cut from the whole logs separately, so each has trajectories that the other lacks; where both have one, all is equal."""
    wanted = normalized(folder)
    files = [path for path in sorted((REAL / folder).glob("*.json*")) if not path.name.startswith("normalized")]
    items = [item for path in files for item in FORMATS[format](LogFile(path, path.name), Options())]
    assert not [item for item in items if isinstance(item, Problem)]
    both = [(record, wanted[known_as(format, record)]) for record in items if known_as(format, record) in wanted]
    assert (len(both), len(items) - len(both)) == (in_both, only_raw)
    for record, row in both:
        assert acts(record) == [(step["observation"], step["thought"], step["action"]) for step in row["steps"]]
        told = (record.task_id, record.environment, record.instruction, record.reward, record.success)
        assert told == (row["task_id"], row["env"], row["instruction"], row["reward"], row["success"])


SPACES, BREAKS, BRACKETS = " " * 300_000, "\n" * 300_000, "[" * 300_000
ODD_TEXTS = [
    f"Instruction:a{SPACES}b",
    f"Your task is to{BREAKS}",
    f"x{BREAKS}Action{SPACES}",
    f"Thought:{SPACES}x{BREAKS}",
    f"<think>{SPACES}",
    BRACKETS,
    f"### Instruction:{SPACES}x{BREAKS}",
    f"> think{SPACES}1",
    f"Act{SPACES}1:",
    f"Obs{SPACES}",
    f"Reward: 1{SPACES}x",
    f"Environment{SPACES}#{SPACES}1",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=[text[:12].strip() for text in ODD_TEXTS])
def test_no_text_takes_long(tmp_path, text):
    """Long runs of the same character must not make a pattern try every way to match them."""
    talk = [{"from": "human", "value": text}, {"from": "gpt", "value": text}]
    record = {"id": "1", "conversations": talk, "messages": talk, "name": "n", "result": True, "traj": text, "item_id": "a_1"}
    (tmp_path / "a.jsonl").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"1": {"f1": 1.0, "traj": text}}), encoding="utf-8")
    (tmp_path / "c.txt").write_text(f"{text}\n> {text}\n{text}\n", encoding="utf-8")
    started = time.perf_counter()
    for format, name in [
        ("sharegpt", "a.jsonl"),
        ("messages", "a.jsonl"),
        ("agenttraj", "a.jsonl"),
        ("knowagent", "a.jsonl"),
        ("fireact", "b.json"),
        ("react", "c.txt"),
    ]:
        assert list(FORMATS[format](LogFile(tmp_path / name, name), Options(environment="e")))
    assert time.perf_counter() - started < 60  # trying every way would take hours


def test_many_small_values_are_read_in_time(tmp_path):
    (tmp_path / "many.json").write_text("[" + "1,\n" * 200_000 + "1]", encoding="utf-8")
    started = time.perf_counter()
    places = [where for where, _ in json_records(LogFile(tmp_path / "many.json", "m"))]
    assert (len(places), places[0], places[-1]) == (200_001, "m:1[0]", "m:200001[200000]")
    assert time.perf_counter() - started < 60
