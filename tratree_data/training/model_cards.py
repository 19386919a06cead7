"""The card of a trained model (its data, code and settings, and how to use it), and its upload to the Hub."""

import json
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, TratreeError
from tratree_data.training.training_data import METHODS
from tratree_data.training.validation import curve_table

PRIVATE = (".*", "*.new", "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin")


def write_card(folder: Path, record: dict[str, Any]) -> Path:
    """README.md beside the model."""
    data, settings, counts = record["data"], record["settings"], record["counts"]
    release = str(data["release"])
    header = ["---", "library_name: " + ("transformers" if settings["full"] else "peft"), "tags: [tratree, agents, weak-to-strong]"]
    if release.startswith("hub:"):
        header.append(f"datasets: [{json.dumps(release.removeprefix('hub:'))}]")
    if not Path(record["model"]).exists():
        header.append(f"base_model: {json.dumps(record['model'])}")
    base = record["model"] if not Path(record["model"]).exists() else Path(record["model"]).name
    lines = [
        *header,
        "---",
        f"# {folder.name}",
        "",
        f"`{_inline(base)}` trained by tratree-data with the method **{record['method']}**: {METHODS[record['method']].about}.",
        "",
        "| lineage | |",
        "|---|---|",
        f"| data | `{_inline(release)}`, {_inline(str(data['revision']))} |",
        f"| rows | {data['rows']:,} {data['table']}, {counts['trained_rows']:,} trained on |",
        f"| too long | {counts['cut']:,} cut after a turn of the agent, {counts['dropped']:,} dropped |",
        f"| code | {_code(record['code'])} |",
        f"| steps | {counts['steps']:,} in {record['seconds']:,.0f} s |",
        f"| loss | {record['first_loss']:.4f} → {record['last_loss']:.4f} |",
        "",
        *(curve_table(record["validation"], record["log"]) if "validation" in record else []),
        "## Settings",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | `{_inline(str(value))}` |" for name, value in sorted(settings.items()) if value not in (None, ())),
        "",
        "Only what the agent wrote was trained on; the prompt and every observation are context. `training.json` records the whole run.",
        "",
    ]
    file = folder / "README.md"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _code(code: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in code["packages"].items() if version)
    return f"tratree-data {code['version']}, sources `{code['source']}`; {packages}"


def _inline(text: str) -> str:
    """Untrusted text inside a code span of a table cell."""
    return text.replace("`", "'").replace("|", "\\|").replace("\n", " ")


def push_model(folder: Path, repository: str, tag: str | None = None) -> str:
    """Uploads the model in one commit; the tag comes last, on that commit, and never moves."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    name = repository.removeprefix("hub:")
    api = HfApi()
    try:
        if tag and api.repo_exists(name) and tag in {ref.name for ref in api.list_repo_refs(name).tags}:
            raise BadInputError(
                f"{name} already has a version {tag}, and published versions never move.\nNext: choose the next version with --tag"
            )
        api.create_repo(name, exist_ok=True)
        operations = [CommitOperationAdd(file, content) for file, content in published_files(folder)]
        commit = api.create_commit(name, operations, commit_message=f"tratree train {tag or ''}".strip())
        if tag:
            api.create_tag(name, tag=tag, revision=commit.oid)
    except HfHubHTTPError as error:
        raise TratreeError(
            f"The Hub refused {name}: {error}\nNext: hf auth login, check the name, then run the same command: training is not repeated"
        ) from error
    return str(commit.oid)


def published_files(folder: Path) -> list[tuple[str, Path | bytes]]:
    """The model's files without checkpoints and leftovers; in JSON, paths of this machine become their last part."""
    files: list[tuple[str, Path | bytes]] = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_dir() or any(inside.match(pattern) or inside.parts[0].startswith("checkpoint-") for pattern in PRIVATE):
            continue
        is_settings = path.suffix == ".json" and path.stat().st_size < 2**25 and not path.name.startswith("tokenizer.")
        content = json.dumps(_without_paths(json.loads(path.read_text(encoding="utf-8"))), indent=1).encode() if is_settings else path
        files.append((str(inside), content))
    return files


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_paths(part) for part in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value
