"""Verbs for models: train, evaluate, compare, reproduce."""

from typing import Annotated, Any

import typer

from tratree_data.cli.verbs import report, verb
from tratree_data.evaluation.settings import CompareSettings, EvaluateSettings
from tratree_data.experiments.settings import ReproduceSettings
from tratree_data.training.settings import TrainOptions

PANEL = "Train and evaluate"


@verb(TrainOptions, PANEL)
def train(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="A release, a dataset's folder, or hub:org/name@v1.0.0.")],
    setting: Annotated[list[str] | None, typer.Option("--set", help="Any setting as name=value. May be repeated.")] = None,
    **options: Any,
) -> None:
    """Train a model on a release; the same command resumes a stopped run.

    Example: `tratree train demo-release --method mcts-sft --model Qwen/Qwen2.5-0.5B-Instruct --out strong`
    """
    from tratree_data.training.runs import is_first
    from tratree_data.training.settings import parse_settings
    from tratree_data.training.train import train as run_train

    done = run_train(release, **{**options, **parse_settings(setting or [])})
    if is_first():
        report(done)


@verb(EvaluateSettings, PANEL)
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's folder or Hub id, or an agent such as expert.")],
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="The environment; `tratree environments` lists them.")],
    out: Annotated[str, typer.Argument(metavar="DIR", help="A dataset for the episodes and their scores.")],
) -> None:
    """Evaluate a model or agent on held-out tasks: reward, success, steps and invalid actions, with intervals.

    Example: `tratree evaluate strong webshop scores/strong --split test --seeds 5`
    """


@verb(CompareSettings, PANEL)
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An evaluation's folder, or several (one per training run) separated by commas.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What to compare it with, on the same tasks and seeds.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    **settings: Any,
) -> None:
    """Test whether A is better than B, paired by runs, tasks and seeds.

    Example: `tratree compare scores/strong scores/weak`
    """
    from tratree_data.evaluation.compare import compare as run_compare
    from tratree_data.evaluation.compare import describe

    print(describe(run_compare(a.split(","), b.split(","), **settings), as_json))


@verb(ReproduceSettings, PANEL)
def reproduce(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A folder for models, data and evaluations.")],
    **settings: Any,
) -> None:
    """Repeat the paper's experiment, from expert demonstrations to the table; the same command resumes a stopped run.

    Example: `tratree reproduce my-run --scale miniature --seeds 0,1,2 --processes 2`
    """
    from tratree_data.experiments.reproduce import reproduce as run_reproduce

    result, text = run_reproduce(directory, **settings)
    print(text)
    report(result)
