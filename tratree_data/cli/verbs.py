"""What all verbs share: the app, messages on stderr, and how a dataset is named."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, fields
from functools import cached_property, reduce
from inspect import Parameter, Signature, signature
from operator import or_
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from tratree_data.cli.typer_start import spare_pydantic
from tratree_data.errors import naming
from tratree_data.results import StageResult
from tratree_data.system.arrow_start import spare_pandas
from tratree_data.system.plain_text import one_line
from tratree_data.system.settings import PYTHON_ONLY, Setting, Settings, field_kinds

if TYPE_CHECKING:
    from rich.console import Console

spare_pydantic()
app = typer.Typer(
    name="tratree",
    help="Trajectory trees from agents' rollouts: build them, query them in SQL, publish them, train on them.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


class Messages:
    """Prints text on stderr, without the control characters that it may quote."""

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def print(self, *texts: Any, **settings: Any) -> None:
        self._console.print(*("\n".join(map(one_line, str(text).split("\n"))) for text in texts), **settings)


messages = Messages()
INTERRUPTED = 130

Dataset = Annotated[str, typer.Argument(metavar="DIR", help="The dataset's folder, or s3://bucket/name.")]
AnyDataset = Annotated[str, typer.Argument(metavar="DIR", help="A dataset's folder, s3://bucket/name, a release, or hub:org/name@v1.0.0.")]
Format = Annotated[str, typer.Option(help="table, json (one object per line), csv or parquet (> rows.parquet).")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from tratree_data import __version__

        print(f"tratree-data {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Handles the options before the verb."""
    if "--help" not in sys.argv:
        spare_pandas()


def report(result: StageResult) -> None:
    """Prints on stderr what a stage did."""
    from rich.markup import escape

    heading, *notes = str(result).split("\n")
    messages.print(f"[bold]{result.stage}[/bold]{escape(heading.removeprefix(result.stage))}", soft_wrap=True)
    for note in notes:
        messages.print(note, markup=False, soft_wrap=True)


def verb(settings: type[Settings], panel: str) -> Callable[[Callable[..., None]], None]:
    """Adds the verb that a function's name and docstring describe, with the fields of `settings` as its options.

    The function's own arguments come first, DIR where it has none; the verb's work is then `tratree_data.<verb>`. A function that takes
    `**given` does the work itself, with the options that were typed.
    """

    def decorate(explained: Callable[..., None]) -> None:
        own = list(signature(explained).parameters.values())
        does_the_work = bool(own) and own[-1].kind is Parameter.VAR_KEYWORD
        subjects = own[:-1] if does_the_work else own or [Parameter("directory", Parameter.POSITIONAL_OR_KEYWORD, annotation=Dataset)]
        names = {subject.name for subject in subjects}
        options = [option for option in _options(settings) if option.name not in names]

        def command(**given: Any) -> None:
            typed = {option.name: given[option.name] for option in options if given[option.name] is not None}
            named = {subject.name: given[subject.name] for subject in subjects}
            if does_the_work:
                explained(**named, **typed)
                return
            import tratree_data

            with nullcontext() if own else naming(named["directory"]):
                report(getattr(tratree_data, explained.__name__)(*named.values(), **typed))

        keywords = [subject.replace(kind=Parameter.KEYWORD_ONLY) for subject in subjects]
        vars(command)["__signature__"] = Signature([*keywords, *options])
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*keywords, *options)}
        command.__doc__ = explained.__doc__
        app.command(explained.__name__.rstrip("_"), rich_help_panel=panel)(command)

    return decorate


def _options(settings: type[Settings]) -> Iterator[Parameter]:
    defaults = {field.name: field.default for field in fields(settings)}
    for name, (kind, setting) in field_kinds(settings).items():
        if setting.option == PYTHON_ONLY:
            continue
        default, several = defaults[name], isinstance(defaults[name], tuple)
        yield Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if default is MISSING else None if several else default,
            annotation=_option(name, kind, setting, several=several, off=default is not False),
        )


def _option(field: str, kind: Any, setting: Setting, several: bool, off: bool) -> Any:
    """The field as Typer reads it: several values become an option that may be repeated; a tuple beside a number is for Python only."""
    flag = f"--{setting.option or field.replace('_', '-')}"
    if several:
        kind = list[str] | None
    elif isinstance(kind, UnionType) and str in get_args(kind):
        kind = str | None
    elif isinstance(kind, UnionType):
        kind = reduce(
            or_,
            (part for part in get_args(kind) if Ellipsis not in get_args(part) and get_origin(part) is not Sequence and part is not Path),
        )
    if off and bool in (kind, *get_args(kind)):
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    words = f"{setting.help} May be repeated." if several else setting.help
    shown: dict[str, Any] = {"help": words, "metavar": setting.metavar, "rich_help_panel": setting.panel}
    if {int, float} & set(get_args(kind) or (kind,)):
        shown |= {"min": setting.minimum, "max": setting.maximum}
    return Annotated[kind, typer.Option(flag, **shown)]
