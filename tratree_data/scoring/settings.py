"""Settings of scores that are added later."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

from tratree_data.system.settings import Setting, Settings


@dataclass(frozen=True)
class ScoreSettings(Settings):
    source: Annotated[
        str | Path | Callable[..., Any],
        Setting(
            "A table (.csv, .jsonl, .parquet), module:function or file.py:function, judge:model=NAME,base_url=URL, or annotations.",
            option="with",
            metavar="SOURCE",
        ),
    ]
    _: KW_ONLY
    name: Annotated[str, Setting("The source's name in the dataset; by default the file, module:function, or judge:model.")] = ""
    override: Annotated[bool, Setting("Use these scores even where the log or environment has one.")] = False
    rubric: Annotated[str, Setting("Criteria for the judge: text, or a file that contains it.", metavar="TEXT|FILE")] = ""
    workers: Annotated[int, Setting("Concurrent requests to the judge.", minimum=1, recorded=False)] = 8
