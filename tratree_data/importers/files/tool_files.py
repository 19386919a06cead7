"""Files that tools keep beside their sessions and results, and that hold no conversation: an import neither reads nor reports them."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

TOOL_FILES: dict[str, tuple[str, ...]] = {
    "claude-code": ("*/subagents/*.meta.json", "*/tool-results/*", "*/memory/*", "*/sessions-index.json"),
    "codex": ("*/history.jsonl", "*/session_index.jsonl", "*/auth.json", "*/version.json", "*/models_cache.json", "*/log/*", "*.sqlite*"),
    "gemini": ("*/logs.json", "*/projects.json", "*/settings.json", "*/tool-outputs/*"),
    "qwen": ("*/debug/*", "*/settings.json"),
    "copilot": (
        "*/rewind-file-snapshots/*",
        "*/checkpoints/*",
        "*/files/*",
        "*/research/*",
        "*/workspace.yaml",
        "*/logs/*",
        "*/config.json",
        "*/settings.json*",
        "*/session-store.db*",
        "*.lock",
    ),
    "cline": ("*/ui_messages.json", "*/task_metadata.json", "*/[0-9]*_*/[0-9]*_*[!s].json", "*/logs/*", "*/cache/*", "*/settings/*"),
    "frameworks": ("*/session.json", "*/agent.json"),
    "continue": ("*/sessions.json", "*/logs/*"),
    "verifiers": ("*/metadata.json", "*.metadata.json"),
    "opencode": ("*/log/*", "*/snapshot/*", "*/repos/*", "*/auth.json", "*.db-shm", "*.db-wal"),
    "pi": ("*/auth.json", "*/models.json", "*/settings.json", "*/sessions.json"),
}
"""Patterns of names, by the format of the sessions."""


def without_tool_files(format: str, names: Iterable[str]) -> list[str]:
    """The names that are not such a file's."""
    patterns = TOOL_FILES.get(format, ())
    return [name for name in names if not any(fnmatchcase(f"/{name}", pattern) for pattern in patterns)]
