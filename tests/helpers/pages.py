"""What the pages of the docs tell their readers to type."""

import re


def commands(page: str) -> list[tuple[str, str]]:
    """(command, what the page says it prints) of every console block, comments left out."""
    found = []
    for text in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((re.sub(r"\s+# .*$", "", command), output))
    return found


def snippets(page: str) -> list[str]:
    """The Python of a page."""
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)
