"""Settings, written down once: a frozen dataclass from which a verb's arguments, its options and its lineage derive.

    @dataclass(frozen=True, kw_only=True)
    class SearchSettings(Settings):
        simulations: Annotated[int, Setting("Simulations per tree.", minimum=1)] = 100

    @takes(SearchSettings)
    def search(directory: str | Path, settings: SearchSettings) -> StageResult: ...

`search(directory, simulations=200)` is then what people call, `--simulations 200` what they type (cli/app.py), and
`settings.recorded()` what the commit's lineage says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Signature, signature
from math import isfinite
from typing import Annotated, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints, overload

from tratree_data.errors import BadInputError, suggest

P = ParamSpec("P")
S = TypeVar("S")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R = TypeVar("R")
PYTHON_ONLY = ""


@dataclass(frozen=True)
class Setting:
    """A field's documentation: the help of its option, and the values that it accepts."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    recorded: bool = True
    """Whether the rows depend on it; settings that only affect speed are not part of the lineage."""
    option: str | None = None
    """The option's name where it is not the field's: `--kind` for a field of several `kinds`; PYTHON_ONLY for a field without an option."""
    metavar: str | None = None
    panel: str | None = None
    """The heading under which `--help` lists the option, in verbs that have many."""


Engine = Literal["local", "ray"]
"""Where stages may run; system/engine.py has how."""
EngineSetting = Annotated[
    Engine,
    Setting("local (this machine) or ray (the cluster that RAY_ADDRESS names, or this machine).", recorded=False),
]
WorkersSetting = Annotated[
    int | None, Setting("Worker processes; by default one with local, one per core with ray.", minimum=1, recorded=False)
]
"""How every stage runs that works chunk by chunk (store/chunks/by_chunk.py)."""


@dataclass(frozen=True)
class Settings:
    """Base of every group of settings: checks each value against its field and knows what the lineage records."""

    def __post_init__(self) -> None:
        for name, (kind, setting) in field_kinds(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, str) and get_origin(kind) is Sequence:
                object.__setattr__(self, name, (value,))
            elif isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
            _check_value(name, value, kind, setting)

    def recorded(self) -> dict[str, Any]:
        """What the rows depend on, as the lineage keeps it."""
        return {name: getattr(self, name) for name, (_, setting) in field_kinds(type(self)).items() if setting.recorded}


@dataclass(frozen=True, kw_only=True)
class EngineSettings(Settings):
    """For a verb without other settings."""

    engine: EngineSetting = "local"
    workers: WorkersSetting = None


def field_kinds(settings: type) -> dict[str, tuple[Any, Setting]]:
    """{field: (its type, its setting)}, in the order in which they are written down."""
    kinds = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        found = [extra for extra in get_args(hint)[1:] if isinstance(extra, Setting)] if get_origin(hint) is Annotated else []
        kinds[name] = (get_args(hint)[0], found[0]) if found else (hint, Setting(""))
    return {field.name: kinds[field.name] for field in fields(settings)}


class Takes(Generic[P, S]):
    """What `takes` returns: a function whose last argument, the settings, is replaced by their names and types."""

    def __init__(self, settings: Callable[P, S]) -> None:
        self.settings = settings

    @overload
    def __call__(self, run: Callable[[A, S], R]) -> Callable[Concatenate[A, P], R]: ...
    @overload
    def __call__(self, run: Callable[[A, B, S], R]) -> Callable[Concatenate[A, B, P], R]: ...
    @overload
    def __call__(self, run: Callable[[A, B, C, S], R]) -> Callable[Concatenate[A, B, C, P], R]: ...
    def __call__(self, run: Callable[..., Any]) -> Callable[..., Any]:
        *subjects, last = signature(run).parameters.values()

        @wraps(run)
        def call(*given: Any, **named: Any) -> Any:
            own, rest = given[: len(subjects)], given[len(subjects) :]
            by_name = {subject.name: named.pop(subject.name) for subject in subjects[len(own) :] if subject.name in named}
            known = signature(self.settings).parameters
            for name in named:
                if name not in known:
                    raise BadInputError(f"{run.__name__} has no setting {name!r}.{suggest(name, known)}")
            return run(*own, **by_name, **{last.name: self.settings(*rest, **named)})

        parameters = [*subjects, *signature(self.settings).parameters.values()]
        vars(call)["__signature__"] = Signature(parameters, return_annotation=signature(run).return_annotation)
        vars(call)["settings"] = self.settings
        return call


def takes(settings: Callable[P, S]) -> Takes[P, S]:
    """Makes `run(directory, settings)` callable as `run(directory, **settings)`; up to three arguments may precede the settings."""
    return Takes(settings)


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
        allowed = f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"from {low:g} to {high:g}"
        raise BadInputError(f"{name} must be {allowed}, not {value:g}.\nNext: {option} {(low if low is not None else high):g}")
