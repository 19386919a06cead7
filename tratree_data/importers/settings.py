"""What an import depends on besides the log itself."""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

from tratree_data.errors import BadInputError
from tratree_data.importers.log_records import PERCENT, Scale
from tratree_data.system.settings import Engine, Setting, Settings

AUTO = "auto"
Format = Literal[
    "auto", "jsonl", "eto", "agenttraj", "harbor", "atif", "adp", "verifiers", "inspect", "sts", "fireact", "intercode",
    "knowagent", "sweagent", "openhands", "history", "tau2", "toolbench", "spans", "responses", "frameworks", "messages",
    "sharegpt", "claude-code", "codex", "gemini", "qwen", "copilot", "opencode", "pi", "cline", "continue", "hermes",
    "stream-json", "llm", "react", "table",
]  # fmt: skip


@dataclass(frozen=True)
class ImportSettings(Settings):
    format: Annotated[Format, Setting("Format of the log; detected by default.", recorded=False)] = "auto"
    _: KW_ONLY
    strict: Annotated[bool, Setting("Stop at the first bad record and write nothing.", recorded=False)] = False
    environment: Annotated[str, Setting("Environment, if the log does not name one.")] = ""
    split: Annotated[str, Setting("Split of the tasks, if the log does not name one; train by default.")] = ""
    agent: Annotated[str, Setting("Agent, if the log does not name one.")] = ""
    model: Annotated[str, Setting("The agent's model, if the log does not name one.")] = ""
    score_scale: Annotated[
        str | Scale | None, Setting("The scale of the rewards: low,high or percent; 0,1 by default.", metavar="LOW,HIGH")
    ] = None
    score_map: Annotated[
        Mapping[float, float] | tuple[str, ...],
        Setting("Reward to replace with another, e.g. --score-map=-1=0.", metavar="FROM=TO"),
    ] = ()
    clamp_scores: Annotated[bool, Setting("Move rewards outside the scale to its nearest end.")] = False
    scores: Annotated[
        str, Setting("Scores of runs whose log has none, by trajectory_id or task_id: .csv, .jsonl or .parquet.", metavar="FILE")
    ] = ""
    tasks: Annotated[str, Setting("The task_id of each trajectory_id: .csv, .jsonl or .parquet.", metavar="FILE")] = ""
    license: Annotated[str, Setting("Licence of the log, as the Hub spells it.")] = ""
    source_url: Annotated[str, Setting("Where the log was published.")] = ""
    attribution: Annotated[str, Setting("Whom to credit for the log.")] = ""
    workers: Annotated[int | None, Setting("Processes that read large logs; one per core by default.", minimum=1, recorded=False)] = None
    engine: Annotated[
        Engine,
        Setting("local, or ray for large logs with one record a line (jsonl, messages, sharegpt); others are local.", recorded=False),
    ] = "local"
    columns: Annotated[
        Mapping[str, str] | tuple[str, ...],
        Setting("Map a column or JSON path to one of ours, e.g. messages=samples[].messages.", option="column", metavar="OURS=THEIRS"),
    ] = ()

    def scale(self) -> Scale | None:
        return parse_scale(self.score_scale)

    def column_names(self) -> dict[str, str]:
        return dict(self.columns) if isinstance(self.columns, Mapping) else parse_columns(self.columns)

    def mapped_rewards(self) -> dict[float, float]:
        return dict(self.score_map) if isinstance(self.score_map, Mapping) else parse_score_map(self.score_map)


def parse_columns(pairs: Iterable[str]) -> dict[str, str]:
    """'ours=theirs' → {ours: theirs}."""
    columns = {}
    for pair in pairs:
        ours, mark, theirs = pair.partition("=")
        if not (ours and mark and theirs):
            raise BadInputError(f"{pair!r} is not a column mapping.\nNext: --column OURS=THEIRS, e.g. --column task_id=question_id")
        columns[ours] = theirs
    return columns


def parse_score_map(pairs: Iterable[str]) -> dict[float, float]:
    """'-1=0' → {-1.0: 0.0}."""
    rewards = {}
    for pair in pairs:
        reward, _, meant = pair.partition("=")
        try:
            rewards[float(reward)] = float(meant)
        except ValueError as error:
            raise BadInputError(f"The score map {pair!r} is not two numbers FROM=TO.\nNext: --score-map=-1=0") from error
    return rewards


def parse_scale(scale: str | Scale | None) -> Scale | None:
    """'percent', 'low,high' or two numbers."""
    if scale is None or scale == "":
        return None
    if scale == "percent":
        return PERCENT
    try:
        low, high = (float(part) for part in (scale.split(",") if isinstance(scale, str) else scale))
    except (TypeError, ValueError) as error:
        raise BadInputError(f"The score scale {scale!r} is not 'percent' or two numbers low,high.\nNext: --score-scale 0,100") from error
    if not (-1e300 < low < high < 1e300):
        raise BadInputError(f"The score scale {scale!r} is empty: its ends must differ.\nNext: --score-scale 0,100, the lower end first")
    return low, high
