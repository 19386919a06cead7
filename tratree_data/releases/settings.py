"""What a release depends on besides the dataset and its version number."""

from dataclasses import dataclass
from typing import Annotated

from tratree_data.system.settings import EngineSetting, Setting, Settings, WorkersSetting

SHARD_BYTES = 256 * 2**20
MOST_SESSIONS = 10_000
"""Most files per folder that the Hub recommends."""


@dataclass(frozen=True)
class PublishSettings(Settings):
    target: Annotated[str, Setting("A folder, or hub:org/name.")]
    version: Annotated[str, Setting("X.Y.Z; publish/versioning.md says which number a change needs.")]
    license: Annotated[str, Setting("Licence of the data, as the Hub spells it.")] = "unknown"
    title: Annotated[str, Setting("Title of the card; the name of the dataset's folder by default.")] = ""
    language: Annotated[str, Setting("Language of the texts, as the Hub spells it; several separated by commas.", metavar="en")] = ""
    about: Annotated[str, Setting("A TOML file: authors, date, DOI, environments, and statements in your words.", metavar="FILE")] = ""
    fail_on_findings: Annotated[bool, Setting("Exit with code 1 if secrets, personal data or leaks between splits are found.")] = False
    private: Annotated[bool, Setting("On the Hub: visible only to you and your organization.")] = False
    gated: Annotated[bool, Setting("On the Hub: readers must agree to share their contact first.")] = False
    traces: Annotated[
        int, Setting("Rollouts to add as sessions for the Hub's trace viewer, whole tasks first.", minimum=0, maximum=MOST_SESSIONS)
    ] = 0
    engine: EngineSetting = "local"
    workers: WorkersSetting = None
    shard_bytes: Annotated[int, Setting("Approximate bytes per shard.", minimum=1)] = SHARD_BYTES
