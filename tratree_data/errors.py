"""Every error that a user can cause, in one place.

A message says what is wrong, why, and which command to type next. Only `cli.main` displays them.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class TratreeError(Exception):
    """The user must change something; the command line shows the message without a traceback and exits with 2."""


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


def suggest(name: str, known: Iterable[str]) -> str:
    """' Did you mean x?' if a known name is similar, else the names that are available."""
    names = sorted(set(known))
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Available: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}." if names else " None exists yet."


def missing_package(package: str, extra: str) -> MissingPackageError:
    return MissingPackageError(f"{package} is needed here, but not installed.\nNext: pip install 'tratree-data[{extra}]'")


FREE_SPACE = "free some space or fix the permissions, then run the same command"


def unwritten(place: object, reason: str | Exception, intact: str = "", advice: str = FREE_SPACE) -> TratreeError:
    """What the system says about a full or read-only disk; `intact` says what the failure left unharmed."""
    said = getattr(reason, "strerror", None) or str(reason).strip() or type(reason).__name__
    return TratreeError(f"{place} could not be written: {said.splitlines()[0].rstrip('.')}. {intact}".rstrip() + f"\nNext: {advice}")
