"""Files in which tools keep runs, but which no reader takes: what they are, and how to get what can be imported."""

from contextlib import suppress
from pathlib import Path
from typing import Any

BEGINNING = 4_096
YAML_AS_JSON = (
    "convert it, as with `python -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' < log.yaml > log.json`, "
    "and import that"
)
FOREIGN: tuple[tuple[str, bytes, str, str], ...] = (
    ("", b"\x89HDF\r\n\x1a\n", "it is an HDF5 file, in which Minari and others keep episodes",
     "write each episode as a line of JSON with the lists `observations` and `actions`, and import that"),
    *(("", mark, "it is a Python pickle, which could run code when it is read",
       "write what it contains as JSON with the program that made it, and import that") for mark in (b"\x80\x04", b"\x80\x05")),
    *((ending, b"", "it is YAML", YAML_AS_JSON) for ending in (".yaml", ".yml")),
    (".npz", b"PK\x03\x04", "it contains NumPy arrays", "write each episode as a line of JSON, and import that"),
    ("", b"SQLite format 3\0",
     "it is a SQLite database without a table of messages; OpenCode, Crush, Goose, Cursor and Hermes store sessions in such databases",
     "export the sessions with the tool, e.g. `opencode export SESSION > session.json`, and import those"),
    ("", b"PK\x03\x04", "it is a zip archive, but not an Inspect log (.eval)", "rename it to end with .zip, and import that"),
    ("", b"PAR1", "it is a Parquet file without the ending .parquet", "rename it to end with .parquet, and import that"),
    (".eval", b"", "its name is an Inspect log's, but it is not a zip archive of Inspect", "copy it again from where Inspect wrote it"),
    (".cast", b"{", "it is a recording of a terminal (asciinema), without the agent's turns",
     "import the trajectory.json beside it, or the folder of the Harbor job"),
    ("", b'{"object": "trace', "it is a trace of the OpenAI Agents SDK, which refers to the model's answers but does not contain them",
     "save `result.to_input_list()` as JSON, or export the traces with OpenTelemetry, and import that"),
    ("", b"\n# aider chat started at ", "it is Aider's chat as Markdown, which does not mark where a message ends",
     "convert it to JSON messages ({\"role\", \"content\"}), and import those"),
    ("", b"TO LLM 2", "it is Aider's log of requests (--llm-history-file), each of which repeats what was said before",
     "convert its last request and answer to JSON messages ({\"role\", \"content\"}), and import those"),
)  # fmt: skip
"""(ending of the name, beginning of the file, what it is, what to do)"""
CHECKPOINTS = b"CREATE TABLE checkpoints"
RECORDS: tuple[tuple[set[str], str, str], ...] = (
    ({"type", "result", "num_turns", "session_id"}, "it is the last answer of a run of Claude Code or Qwen Code, without what came before",
     "import the session that the program kept of the run, in ~/.claude/projects or ~/.qwen/projects, or run it with "
     "--output-format stream-json, which prints everything"),
    ({"session_id", "response", "stats"}, "it is the last answer of a run of Gemini CLI, without what came before",
     "import the session that Gemini CLI kept of the run, in ~/.gemini/tmp, or run it with --output-format stream-json, which "
     "prints everything"),
    ({"conversation_id", "prompt", "response", "tool_results"}, "it is what `llm logs --json` prints",
     "import the database of llm, whose path `llm logs path` prints"),
    ({"step_num", "action_timestamp", "screenshot_file"}, "it contains the steps of OSWorld, whose observations are images in other files",
     "write a line of JSON for each step, with `episode`, `observation` (such as the accessibility tree) and `action`, and import that"),
    ({"timestamp", "task_name", "task", "agent", "status"}, "it is CrewAI's log of tasks, which has their last answers without the steps",
     "trace the crew with OpenTelemetry (OpenInference), and import the spans"),
    ({"raw", "tasks_output"}, "it is the output of a crew of CrewAI, which has the last answers without the steps",
     "trace the crew with OpenTelemetry (OpenInference), and import the spans"),
    ({"n_steps", "cum_reward"}, "it is AgentLab's summary of a run, whose steps are Python pickles beside it",
     "write the chat messages of the steps as JSON with AgentLab, and import that"),
    ({"results", "pass_at_k", "n_resolved"}, "it contains the results of Terminal-Bench, without what the agents did",
     "run the tasks with Harbor, which keeps trajectories, and import its job's folder"),
    ({"id", "timestamp", "source", "message"}, "it is one event of OpenHands",
     "download the whole trajectory in OpenHands, or import the output.jsonl of an evaluation"),
)  # fmt: skip
"""(members of the first record, what the file is, what to do)"""


def foreign_record(value: Any) -> tuple[str, str] | None:
    """(what the file is, what to do), as its first record shows."""
    return next(((what, todo) for names, what, todo in RECORDS if names <= set(value)), None) if isinstance(value, dict) else None


def foreign_file(path: Path) -> tuple[str, str] | None:
    """(what the file is, what to do) if it is such a file."""
    beginning = b""
    with suppress(OSError), path.open("rb") as handle:
        beginning = handle.read(BEGINNING)
    if CHECKPOINTS in beginning:
        return "it contains the checkpoints of LangGraph, which are Python objects", (
            "save `messages_to_dict(graph.get_state(config).values['messages'])` of each thread as JSON, and import that"
        )
    if path.name.endswith(".parquet"):
        return None
    return next((found[2:] for found in FOREIGN if path.name.endswith(found[0]) and beginning.startswith(found[1])), None)
