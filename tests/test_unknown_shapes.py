"""Episodes of unknown tools in other shapes than messages: parallel lists, numbered members, events, and whole conversations as texts."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_unknown_calls import actions
from test_unknown_logs import lines

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.unknown.transcripts import read_transcript

ROOMS = [("t1", 1.0, 3), ("t1", 0.0, 2), ("t2", 0.5, 4)]
CHATML = "<|im_start|>{role}\n{content}<|im_end|>\n"


def seen(e: int, t: int) -> str:
    return f"You are in room {e}-{t}."


def done(e: int, t: int) -> str:
    return f"go {e} {t}"


def lists(e: int, n: int) -> dict[str, Any]:
    return {"observations": [seen(e, t) for t in range(n + 1)], "actions": [done(e, t) for t in range(n)]}


def numbered(e: int, n: int) -> dict[str, Any]:
    steps = [
        {f"thought_{t}": "hm", f"tool_name_{t}": done(e, t), f"tool_args_{t}": {}, f"observation_{t}": seen(e, t + 1)} for t in range(n)
    ]
    return {"goal": f"Leave {e}.", "trajectory": {key: item for step in steps for key, item in step.items()}}


def by_number(e: int, n: int) -> dict[str, Any]:
    steps = {str(t): {"env_obs": seen(e, t), "agent_action": done(e, t)} for t in range(n)}
    return {"goal": f"Leave {e}.", "steps_taken": steps, "end": seen(e, n)}


def exchanged(e: int, n: int) -> dict[str, Any]:
    return {"interactions": [{"query": seen(e, t), "response": done(e, t)} for t in range(n)]}


def events(e: int, n: int) -> dict[str, Any]:
    found = []
    for t in range(n):
        found += [{"type": "observation", "content": seen(e, t)}, {"type": "thought", "content": "hm"}]
        found.append({"type": "action", "content": done(e, t)})
    return {"events": [*found, {"type": "observation", "content": seen(e, n)}]}


def objects(e: int, n: int) -> dict[str, Any]:
    steps = [{"observation": {"text": seen(e, t), "pixels": [1, 2]}, "action": {"name": done(e, t), "args": {}}} for t in range(n)]
    return {"steps": [*steps, {"observation": {"text": seen(e, n)}, "action": None}]}


def transcript(e: int, n: int) -> dict[str, Any]:
    return {"transcript": "".join(f"Human: {seen(e, t)}\n\nAssistant: {done(e, t)}\n\n" for t in range(n)) + f"Human: {seen(e, n)}"}


def react(e: int, n: int) -> dict[str, Any]:
    said = "".join(f"\nThought {t}: hm\nAction {t}: {done(e, t)}\nObservation {t}: {seen(e, t + 1)}" for t in range(n))
    return {"scratchpad": seen(e, 0) + said}


def game(e: int, n: int) -> dict[str, Any]:
    return {"transcript": seen(e, 0) + "".join(f"\n\n> {done(e, t)}\n\n{seen(e, t + 1)}" for t in range(n))}


def template(e: int, n: int) -> dict[str, Any]:
    said = [CHATML.format(role="user", content=seen(e, t)) + CHATML.format(role="assistant", content=done(e, t)) for t in range(n)]
    return {"text": CHATML.format(role="system", content="Walk.") + "".join(said) + CHATML.format(role="user", content=seen(e, n))}


def continued(e: int, n: int) -> dict[str, Any]:
    text = template(e, n)["text"]
    cut = text.index("<|im_start|>assistant\n") + len("<|im_start|>assistant\n")
    return {"input": text[:cut], "output": text[cut:]}


@pytest.mark.parametrize("shape", [lists, numbered, by_number, exchanged, events, objects, transcript, react, game, template, continued])
def test_every_shape_gives_the_same_steps(tmp_path: Path, shape: Any) -> None:
    rows = [{"task_id": task, "reward": reward} | shape(e, n) for e, (task, reward, n) in enumerate(ROOMS)]
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    store = open_store(tmp_path / "d")
    calls = {f"{done(e, t)} {{}}": done(e, t) for e, (_, _, n) in enumerate(ROOMS) for t in range(n)}
    found = [[calls.get(action, action) for action in row] for row in actions(tmp_path / "d")]
    assert found == [[done(e, t) for t in range(n)] for e, (_, _, n) in enumerate(ROOMS)]
    rollouts = store.sql("SELECT task_id, score, end_observation FROM rollouts ORDER BY score DESC").to_pylist()
    assert sorted((row["task_id"], row["score"]) for row in rollouts) == sorted((task, reward) for task, reward, _ in ROOMS)
    for row in store.sql("SELECT observation, action, step FROM steps").to_pylist():
        episode, step = calls.get(row["action"], row["action"]).split()[1:]
        assert seen(int(episode), int(step)) in row["observation"] or (shape is numbered and step == "0")
    assert all("You are in room" in row["end_observation"] or shape in (by_number, exchanged) for row in rollouts)
    assert any(note.startswith("Understood: ") for note in result.notes)


def test_pairs_without_names_are_asked_about(tmp_path: Path) -> None:
    rows = [
        {"task_id": task, "goal": "Leave.", "won": reward == 1, "path": [[seen(e, t), done(e, t)] for t in range(n)]}
        for e, (task, reward, n) in enumerate(ROOMS)
    ]
    log = lines(tmp_path / "log.jsonl", rows)
    with pytest.raises(BadInputError, match="`path` holds pairs") as refused:
        import_log(tmp_path / "d", log)
    command = str(refused.value).split("Next: ")[1].split(" if what was seen")[0]
    columns = dict(part.strip("'").split("=") for part in command.split(" --column ")[1:])
    assert columns == {
        "observation": "path[][0]",
        "action": "path[][1]",
        "reward": "won",
        "success": "won",
        "task_id": "task_id",
        "instruction": "goal",
    }
    import_log(tmp_path / "d", log, columns=columns)
    assert actions(tmp_path / "d") == [[done(e, t) for t in range(n)] for e, (_, _, n) in enumerate(ROOMS)]
    assert {row["instruction"] for row in open_store(tmp_path / "d").sql("SELECT instruction FROM rollouts").to_pylist()} == {"Leave."}


@pytest.mark.parametrize(
    "text",
    [
        "Please answer like this:\nUser: a\nAssistant: b",
        "User: a\nUser: b\nAssistant: c",
        "Assistant: a\n\nUser: b",
        "Thought 1: hm\nAction 1: go\nObservation 1: x\nThought 1: hm\nAction 1: stay\nObservation 1: y",
        "Action: go\nAction: stay\nObservation: x",
        "Dear all,\n> first line\n> second line\nbye",
        "<|im_start|>user\na<|im_end|>\nand then?<|im_start|>assistant\nb<|im_end|>",
        "<|im_start|>user\na <|im_start|>assistant\nb<|im_end|>",
        "Nothing to see here.",
        "",
    ],
)
def test_a_text_that_is_not_wholly_a_conversation_is_none(text: str) -> None:
    assert read_transcript(text) == []


def test_prompts_that_repeat_the_conversation_are_no_turns(tmp_path: Path) -> None:
    turns = [{"prompt": "\n".join(seen(0, k) for k in range(t + 1)), "completion": done(0, t)} for t in range(3)]
    with pytest.raises(BadInputError, match="not recognised"):
        import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", [{"task_id": "t", "turns": turns}] * 2))


def test_prompts_with_examples_are_no_conversations(tmp_path: Path) -> None:
    examples = "Question: a\nThought: hm\nAction: go\nObservation: x\nQuestion: b"
    rows = [{"task_id": task, "prompt": examples, "response": f"Action: {done(e, 0)}", "reward": r} for e, (task, r, _) in enumerate(ROOMS)]
    import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert actions(tmp_path / "d") == [[done(e, 0)] for e in range(len(ROOMS))]


def test_lists_that_do_not_fit_together_are_left_out_with_a_reason(tmp_path: Path) -> None:
    rows = [{"task_id": task} | lists(e, n) for e, (task, _, n) in enumerate(ROOMS)]
    rows[1]["actions"] = rows[1]["actions"] * 3
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert (result.counts["rollouts"], result.counts["dropped"]) == (2, 1)
    assert any("do not fit together: 3 observations, 6 actions" in note for note in result.notes)


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("accuracy", lambda r: r, "accuracy"),
        ("metrics", lambda r: {"exact_match": r}, "metrics.exact_match"),
        ("return", lambda r: r, "return"),
        ("output", lambda r: {"result": {"result": r == 1}}, "output.result.result"),
        ("feedback_scores", lambda r: [{"name": "good", "value": r}], "feedback_scores[0].value"),
    ],
)
def test_scores_by_other_names_count(tmp_path: Path, name: str, value: Any, path: str) -> None:
    rows = [{"task_id": task, name: value(reward)} | transcript(e, n) for e, (task, reward, n) in enumerate(ROOMS)]
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert any(f"score from `{path}`" in note for note in result.notes)
    assert open_store(tmp_path / "d").sql("SELECT sum(score) AS s FROM rollouts").to_pylist() == [{"s": 1.0 if name == "output" else 1.5}]


def test_the_reward_of_a_step_is_no_score_unless_the_user_says_so(tmp_path: Path) -> None:
    steps = [
        [{"obs": seen(e, t), "act": done(e, t), "reward": r if t == n - 1 else 0} for t in range(n)] for e, (_, r, n) in enumerate(ROOMS)
    ]
    log = lines(tmp_path / "log.jsonl", [{"goal": f"Leave {e}.", "episode_steps": found} for e, found in enumerate(steps)])
    result = import_log(tmp_path / "d", log)
    advice = "No score was taken from `episode_steps[-1].reward`, which is one step's; --column reward=episode_steps[-1].reward would"
    assert any(advice in note for note in result.notes)
    import_log(tmp_path / "e", log, columns={"reward": "episode_steps[-1].reward"})
    store = open_store(tmp_path / "e")
    assert [row["score"] for row in store.sql("SELECT score FROM rollouts ORDER BY score").to_pylist()] == [0.0, 0.5, 1.0]
    assert json.loads(json.dumps(store.sql("SELECT instruction FROM rollouts ORDER BY instruction").to_pylist())) == [
        {"instruction": f"Leave {e}."} for e in range(3)
    ]
