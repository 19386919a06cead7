"""Verbs for models: train, evaluate, compare, reproduce."""

from typing import Annotated, Any

import typer

from tratree_data.cli.app import app, report, verb
from tratree_data.evaluation.settings import CompareSettings, EvaluateSettings

PANEL = "Train and evaluate"


@app.command(rich_help_panel=PANEL)
def train(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="A release, a dataset's folder, or hub:org/name@v1.0.0.")],
    model: Annotated[str, typer.Option(help="The model to start from: a folder or a Hub id.")],
    out: Annotated[str, typer.Option(help="The new model's folder; a stopped run goes on from its last checkpoint.")],
    method: Annotated[str, typer.Option(help="sft, mcts-sft, tree-dpo, unstructured-dpo, eto or kto.")] = "sft",
    revision: Annotated[str | None, typer.Option(help="The release's version, where RELEASE does not name it.")] = None,
    reference: Annotated[str | None, typer.Option(help="The fixed reference of equation 6: the weak model, or self (plain DPO).")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Kinds of rows to learn from, instead of the method's own; may be repeated.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Learn only from demonstrations (or margins) of at least this.")] = None,
    beta: Annotated[float | None, typer.Option(help="β of DPO, KTO and equation 6.")] = None,
    kl_weight: Annotated[float | None, typer.Option(help="Weight of the explicit KL term; β where a reference is named, else 0.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="1e-5 to imitate, 2e-5 for preferences, as in the paper.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after this many steps.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Longer rows are cut after a turn; how many is reported.")] = None,
    device_batch: Annotated[int | None, typer.Option(help="Rows at once on a device; the batch stays 32 by accumulation.")] = None,
    chat_template: Annotated[str | None, typer.Option(help="A .jinja file, chatml or llama2.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Start from the model with this LoRA adapter merged in.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Train all weights instead of a LoRA adapter.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting as name=value, docs/training.md lists them; may be repeated.")
    ] = None,
    report_to: Annotated[str, typer.Option(help="Where the curves go: none, trackio or wandb.")] = "none",
    push: Annotated[str | None, typer.Option(help="Upload the model to hub:org/name.")] = None,
    tag: Annotated[str | None, typer.Option(help="The version tag to give it there, created last.")] = None,
) -> None:
    """Trains a model on a release; the same command goes on where it was stopped.

    Example: `tratree train demo-release --method mcts-sft --model Qwen/Qwen2.5-0.5B-Instruct --out strong`
    """
    from tratree_data.training.runs import is_first
    from tratree_data.training.settings import parse_settings
    from tratree_data.training.train import train as run_train

    named = {
        "reference": reference, "kinds": kind, "min_score": min_score, "beta": beta, "kl_weight": kl_weight, "learning_rate": learning_rate,
        "epochs": epochs, "max_steps": max_steps, "max_length": max_length, "device_batch": device_batch, "chat_template": chat_template,
        "adapter": adapter, "full": full or None,
    }  # fmt: skip
    values = {**parse_settings(setting or []), **{name: value for name, value in named.items() if value is not None}}
    done = run_train(release, model=model, out=out, method=method, revision=revision, report_to=report_to, push=push, tag=tag, **values)
    if is_first():
        report(done)


@verb(EvaluateSettings, PANEL)
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's folder or Hub id, or an agent such as expert.")],
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="What it acts in; `tratree environments` lists them.")],
    out: Annotated[str, typer.Argument(metavar="DIR", help="A dataset for the episodes and their scores.")],
) -> None:
    """Plays held-out tasks and reports reward, success, steps and invalid actions, with intervals.

    Example: `tratree evaluate strong webshop scores/strong --split test --seeds 5`
    """


@verb(CompareSettings, PANEL)
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An evaluation's folder, or one per training run with commas between them.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What to compare it with, on the same tasks and seeds.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    **settings: Any,
) -> None:
    """Tests whether A is better than B, paired by runs, tasks and seeds.

    Example: `tratree compare scores/strong scores/weak`
    """
    from tratree_data.evaluation.compare import compare as run_compare
    from tratree_data.evaluation.compare import describe

    print(describe(run_compare(a.split(","), b.split(","), **settings), as_json))


@app.command(rich_help_panel=PANEL)
def reproduce(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where models, data and evaluations go.")],
    scale: Annotated[str, typer.Option(help="short (5 minutes), miniature (an hour), paper, or any recipe.")] = "short",
    environment: Annotated[str, typer.Option(help="One of the environments that the recipe has settings for.")] = "",
    seeds: Annotated[str, typer.Option(help="Training seeds, with commas between.")] = "0",
    processes: Annotated[int, typer.Option(help="How many seeds at once.")] = 1,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm of the recipe; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check what can be checked and print the plan with its estimates.")] = False,
) -> None:
    """Repeats the paper's experiment, from expert demonstrations to the table; the same command goes on where it was stopped.

    Example: `tratree reproduce my-run --scale miniature --seeds 0,1,2 --processes 2`
    """
    from tratree_data.experiments.reproduce import parse_seeds
    from tratree_data.experiments.reproduce import reproduce as run_reproduce

    chosen: dict[str, Any] = {"environment": environment, "seeds": parse_seeds(seeds), "arms": tuple(arm or ())}
    result, text = run_reproduce(directory, scale=scale, processes=processes, dry_run=dry_run, **chosen)
    print(text)
    report(result)
