"""Files in which tools keep runs, but which no reader takes: what they are, and how to get what can be imported."""

from contextlib import suppress
from pathlib import Path

BEGINNING = 4_096
FOREIGN: tuple[tuple[str, bytes, str, str], ...] = (
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


def foreign_file(path: Path) -> tuple[str, str] | None:
    """(what the file is, what to do) if it is such a file."""
    beginning = b""
    with suppress(OSError), path.open("rb") as handle:
        beginning = handle.read(BEGINNING)
    return next((found[2:] for found in FOREIGN if path.name.endswith(found[0]) and beginning.startswith(found[1])), None)
