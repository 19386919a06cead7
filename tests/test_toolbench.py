"""ToolBench's search trees, in a small file of its format (data/logs/toolbench) with an answer, a dead end and a giving up."""

import json
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data import build, import_log, open_store
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options

TREE = Path(__file__).parent / "data/logs/toolbench/1_ChatGPT_DFS_woFilter_w2.json"
ASKED = [
    ("system", "You can use tools.", None), ("user", "\nDoes it rain in Graz?\nBegin!\n", None),
    ("assistant", "I ask.", [(None, "weather_for_city", '{"city": "Graz"}')]), ("tool", '{"error": "", "response": "rain"}', None),
]  # fmt: skip


def test_every_leaf_is_a_rollout_and_three_nodes_are_one_turn():
    (dead, gave_up, answered), problems = read_log("toolbench", TREE)
    assert problems == []
    assert said(dead) == [
        *ASKED, ("assistant", "I look at tomorrow.", [(None, "forecast", '{"day": 2}')]),
        ("tool", '{"error": "No such function name: forecast", "response": ""}', None),
    ]  # fmt: skip
    assert said(gave_up)[4:] == [
        ("assistant", "I cannot find more.", None), ("assistant", None, [(None, "Finish", '{"return_type": "give_up_and_restart"}')]),
        ("tool", '{"response":"chose to give up and restart"}', None),
    ], "a thought from which the search went on was a message of its own"  # fmt: skip
    assert said(answered)[4][2] == [(None, "Finish", '{"return_type": "give_answer", "final_answer": "Rain."}')]
    records = (dead, gave_up, answered)
    assert [(record.reward, record.success, record.end_reason) for record in records] == [
        (0.0, False, "unknown"), (0.0, False, "agent_stopped"), (1.0, True, "done"),
    ]  # fmt: skip
    assert [step.valid for step in dead.steps] == [True, False], "there is no such function"
    assert {record.instruction for record in records} == {"Does it rain in Graz?"}
    assert len({record.task_id for record in records}) == 1
    assert answered.trajectory_id == "1_ChatGPT_DFS_woFilter_w2:2"
    assert [tool["function"]["name"] for tool in answered.tools] == ["weather_for_city"]
    assert answered.metadata["forward_args"]["tree_beam_size"] == 2


def test_our_tree_has_the_turns_of_theirs(tmp_path):
    import_log(tmp_path / "d", TREE)
    build(tmp_path / "d", embedder="exact")
    store = open_store(tmp_path / "d")
    rows = store.sql("SELECT depth, action FROM nodes WHERE depth > 0 ORDER BY depth, action").to_pylist()
    assert [(row["depth"], row["action"].split(" ")[0]) for row in rows] == [
        (1, "weather_for_city"), (2, "Finish"), (2, "I"), (2, "forecast"), (3, "Finish"),
    ]  # fmt: skip


def test_tries_of_a_chain_and_files_without_prompts(tmp_path):
    answer = json.loads(TREE.read_text())
    about = answer["answer_generation"]
    thought = {"node_type": "Thought", "description": "Well."}
    action, given = {"node_type": "Action", "description": "f"}, {"node_type": "Action Input", "description": "{}", "observation": "o"}
    chain = {"trys": [{"chain": [thought, action, given]}, {"chain": [thought]}], "answer_generation": about | {"train_messages": []}}
    (tmp_path / "chain.json").write_text(json.dumps(chain))
    assert fitting_formats(LogFile(tmp_path / "chain.json", "chain.json"), Options()) == ["toolbench"]
    (first, second), problems = read_log("toolbench", tmp_path / "chain.json")
    assert problems == []
    assert said(first) == [("user", about["query"], None), ("assistant", "Well.", [(None, "f", "{}")]), ("tool", "o", None)]
    assert said(second)[1:] == [("assistant", "Well.", None)]


@pytest.mark.parametrize("value", [
    {"tree": {"tree": {"children": []}}}, {"trys": []}, {"tree": {"tree": {"node_type": "Thought", "children": []}}}, [], {"tree": None},
])  # fmt: skip
def test_other_trees_are_not_toolbenchs(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert fitting_formats(LogFile(tmp_path / "a.json", "a.json"), Options()) == []
    assert read_log("toolbench", tmp_path / "a.json")[0] == []
