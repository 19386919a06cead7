"""Every error that a user can cause, in one place.

A message says what is wrong, why, and which command to type next. Only `cli.main` displays them.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from shlex import quote

LONGEST_LINE, MOST_LINES = 2_000, 100
"""Longest line of a message in characters: a message may quote data of any size."""
MOST_COMPARED = 5_000
"""Only so many names are compared with a misspelt one: each comparison takes up to a millisecond."""
FOR_A_DATASET = re.compile(r"(\btratree [a-z]+ )DIR\b")


class TratreeError(Exception):
    """The user must change something; the command line shows the message without a traceback and exits with 2."""

    def __init__(self, *parts: str) -> None:
        super().__init__(*map(_shortened, parts))

    def _render_traceback_(self) -> list[str]:
        """What a notebook displays instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class NotFoundError(TratreeError):
    """A folder, table, query, task or version that does not exist."""


class BadInputError(TratreeError):
    """A value, row or file that breaks a rule."""


class StoreBusyError(TratreeError):
    """Another process writes to the same dataset."""


class RefusedError(TratreeError):
    """A check found something, and the user asked to stop in that case; exit code 1."""


class MissingPackageError(TratreeError):
    """An optional package is not installed; the message holds the pip command."""


def _shortened(message: str) -> str:
    lines = str(message).split("\n", MOST_LINES)
    cut = [line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 4 :]}" for line in lines]
    return "\n".join(cut if len(lines) <= MOST_LINES else [*cut[: MOST_LINES - 1], "…", cut[-1].rpartition("\n")[2]])


def suggest(name: str, known: Iterable[str]) -> str:
    """' Did you mean x?' if a known name is similar, else the names that are available."""
    names = sorted(set(known))
    alike = [one for one in names if one[:1] == name[:1]] if len(names) > MOST_COMPARED else names
    near = get_close_matches(name[:LONGEST_LINE], [one for one in alike[:MOST_COMPARED] if len(one) <= LONGEST_LINE], n=1, cutoff=0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    shown = ", ".join(one if one.isprintable() else repr(one) for one in names[:20])
    return f" Available: {shown}{' …' if len(names) > 20 else ''}." if names else " None exists yet."


def wrong_order(what: str, python: str, command: str) -> BadInputError:
    """For verbs that take a dataset and something else: commands expect the dataset second, functions first."""
    return BadInputError(f"The dataset and {what} are in the wrong order.\nNext: {python} in Python, {command} in a terminal")


def quoted(value: object) -> str:
    """The text as typed in a shell: quoted if the shell would interpret any of it, such as `$(…)` in a folder's name."""
    return quote(str(value))


@contextmanager
def naming(dataset: object) -> Iterator[None]:
    """Puts the dataset's name into commands for DIR from code that sees only its rows."""
    try:
        yield
    except TratreeError as error:
        error.args = tuple(FOR_A_DATASET.sub(lambda command: command[1] + quoted(dataset), part) for part in error.args)
        raise


def missing_package(package: str, extra: str) -> MissingPackageError:
    return MissingPackageError(f"{package} is needed here, but not installed.\nNext: pip install 'tratree-data[{extra}]'")


def extra_of(module: str) -> str | None:
    """The extra of this package that installs a module, by the package's own metadata."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires("tratree-data") or []
    except PackageNotFoundError:
        return None
    package = re.compile(rf"{re.escape(module.partition('.')[0])}\b.*\bextra == ['\"](\w+)", re.IGNORECASE)
    return next((found[1] for found in map(package.match, needed) if found and found[1] not in {"all", "dev"}), None)


FREE_SPACE = "free some space or fix the permissions, then run the same command"


def unwritten(place: object, reason: str | Exception, intact: str = "", advice: str = FREE_SPACE) -> TratreeError:
    """Reports a full or read-only disk in the system's words; `intact` says what is still intact."""
    said = getattr(reason, "strerror", None) or str(reason).strip() or type(reason).__name__
    return TratreeError(f"{place} could not be written: {said.splitlines()[0].rstrip('.')}. {intact}".rstrip() + f"\nNext: {advice}")
