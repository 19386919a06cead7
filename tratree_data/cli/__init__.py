"""The command `tratree`: one function per verb, each calling the public function of the same name.

Data goes to stdout, progress and messages to stderr. This is the only place where errors become text and exit codes:
0 done, 1 a check found something, 2 the user must change something.
"""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from typer import Typer

from tratree_data.cli.verbs import INTERRUPTED
from tratree_data.cli.verbs import app as commands
from tratree_data.errors import RefusedError, TratreeError, extra_of, missing_package
from tratree_data.system.plain_text import one_line, shorten

VERBS = {
    "rollouts": ("explore", "verify", "import", "environments"),
    "trees": ("run", "score", "build", "states", "search", "replay", "pairs", "demonstrations"),
    "query": ("show", "view", "sql", "mcp", "stats", "audit", "check", "figure"),
    "publish": ("publish", "withdraw", "export", "merge", "split", "filter", "delete", "vacuum"),
    "train": ("train", "evaluate", "compare", "reproduce"),
}
"""Modules and their verbs, in the order of --help.

Only the module of the verb that runs is imported: importing all of them takes longer than a query.
"""

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """`app`, with all verbs."""
    if name != "app":
        raise AttributeError(name)
    return load(VERBS)


def load(modules: Iterable[str]) -> Typer:
    for module in modules:
        import_module(f"tratree_data.cli.{module}")
    return commands


def main() -> None:
    typed = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        load([module for module, verbs in VERBS.items() if typed in verbs] or VERBS)()
    except TratreeError as error:
        print("\n".join(map(one_line, f"tratree: {error}".splitlines())), file=sys.stderr)
        sys.exit(1 if isinstance(error, RefusedError) else 2)
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            raise
        print(f"tratree: {missing_package(str(error.name), extra)}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of the pipe closed it: it has what it needs
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a name that the system refuses, or a file that has just vanished
        print(f"tratree: {one_line(shorten(str(error.filename or error), 200))}: {error.strerror or 'failed'}.", file=sys.stderr)
        print("Next: check that name, its permissions and the disk, then run the same command", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # as Typer reports it
            sys.exit(0)
        if end.code == INTERRUPTED:
            print("tratree: stopped. Finished work is kept; the same command resumes from there.", file=sys.stderr)
        raise
