"""Settings, written down once: a frozen dataclass from which a verb's arguments, its options and its lineage derive.

    @dataclass(frozen=True, kw_only=True)
    class SearchSettings(Settings):
        simulations: Annotated[int, Setting("Simulations per tree.", minimum=1)] = 100

    @takes(SearchSettings)
    def search(directory: str | Path, settings: SearchSettings) -> StageResult: ...

`search(directory, simulations=200)` is then what people call, `--simulations 200` what they type (cli/app.py), and
`settings.recorded()` what the commit's lineage says.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from tratree_data.errors import BadInputError, suggest

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True)
class Setting:
    """What a field means to people: the help of its option, and the values that it accepts."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    recorded: bool = True
    """Whether the rows depend on it; those that only decide how fast they are made are not part of the lineage."""
    option: str | None = None
    """The option's name where it is not the field's: `--kind` for a field of several `kinds`."""
    metavar: str | None = None


@dataclass(frozen=True)
class Settings:
    """Base of every group of settings: checks each value against its field and knows what the lineage records."""

    def __post_init__(self) -> None:
        for name, (kind, setting) in field_kinds(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
            _check_value(name, value, kind, setting)

    def recorded(self) -> dict[str, Any]:
        """What the rows depend on, as the lineage keeps it."""
        return {name: getattr(self, name) for name, (_, setting) in field_kinds(type(self)).items() if setting.recorded}


def field_kinds(settings: type) -> dict[str, tuple[Any, Setting]]:
    """{field: (its type, its setting)}, in the order in which they are written down."""
    kinds = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        found = [extra for extra in get_args(hint)[1:] if isinstance(extra, Setting)] if get_origin(hint) is Annotated else []
        kinds[name] = (get_args(hint)[0], found[0]) if found else (hint, Setting(""))
    return {field.name: kinds[field.name] for field in fields(settings)}


def takes(settings: Callable[P, S]) -> Callable[[Callable[[str | Path, S], R]], Callable[Concatenate[str | Path, P], R]]:
    """Makes `run(directory, settings)` callable as `run(directory, **settings)`, with the settings' own names and types."""

    def decorate(run: Callable[[str | Path, S], R]) -> Callable[Concatenate[str | Path, P], R]:
        @wraps(run)
        def call(directory: str | Path, /, *given: P.args, **named: P.kwargs) -> R:
            return run(directory, settings(*given, **named))

        first = Parameter("directory", Parameter.POSITIONAL_ONLY, annotation=str | Path)
        returned = signature(run).return_annotation
        vars(call)["__signature__"] = Signature([first, *signature(settings).parameters.values()], return_annotation=returned)
        vars(call)["settings"] = settings
        return call

    return decorate


def _check_value(name: str, value: Any, kind: Any, setting: Setting) -> None:
    option = f"--{setting.option or name.replace('_', '-')}"
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices and value not in choices:
        raise BadInputError(
            f"{name} must be one of {', '.join(choices)}, not {value!r}.{suggest(str(value), choices)}\nNext: {option} {choices[0]}"
        )
    if (setting.minimum is None and setting.maximum is None) or not isinstance(value, int | float):
        return
    low, high = setting.minimum, setting.maximum
    if not isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        wanted = f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"from {low:g} to {high:g}"
        raise BadInputError(f"{name} must be {wanted}, not {value:g}.\nNext: {option} {(low if low is not None else high):g}")
