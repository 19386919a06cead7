"""The preset `argument-order`: a command is the same whatever the order of its options, a call whatever the order of its named arguments.

`grep -r -n x` equals `grep -n -r x`, `find(b=1, a=2)` equals `find(a=2, b=1)`, and JSON objects are compared with sorted keys. Where
several options may have a value, each keeps the word behind it, and words that are not options keep their order: `cp a b` never equals
`cp b a`, nor `grep -A 3 -B 5 x` `grep -B 3 -A 5 x`.
"""

import json
import re

import pyarrow as pa

ORDERED = frozenset({"find", "test", "[", "[[", "expr", "ffmpeg", "convert", "rsync", "tar", "docker", "ssh", "echo", "printf"})
"""Commands in which the place of an option matters, or whose words are not options."""
WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+""")
SEPARATORS = re.compile(r"(\s{0,20}(?:&&|\|\||[;|\n])\s*)")
QUOTED = re.compile(r"""["'`$(){}<>]""")
CALL = re.compile(r"\b([A-Za-z_][\w.]{0,200})\(([^()]*)\)")
NAMED = re.compile(
    r"""\s*([A-Za-z_]\w*)\s{0,20}=\s{0,20}("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s,"'=]*(?:\s{1,20}[^\s,"'=]+)*)\s*(?:,|$)"""
)


def sort_arguments(texts: pa.Array) -> pa.Array:
    return pa.array([sort_text(text) for text in texts.to_pylist()], texts.type)


def sort_keys(texts: pa.Array) -> pa.Array:
    """The preset `key-order`: JSON objects, alone or at the end of a text, with sorted keys."""
    return pa.array([_sort_json(text) for text in texts.to_pylist()], texts.type)


def sort_text(text: str) -> str:
    return _sort_options(CALL.sub(_sort_named, _sort_json(text)))


def _sort_json(text: str) -> str:
    """An object at the end of the text, with its keys sorted."""
    start = text.find("{")
    if start < 0 or not text.rstrip().endswith("}"):
        return text
    try:
        value = json.loads(text[start:])
    except (ValueError, RecursionError):
        return text
    return text[:start] + json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sort_named(match: re.Match[str]) -> str:
    found, end = [], 0
    while end < len(match[2]):
        argument = NAMED.match(match[2], end)
        if argument is None:
            return match[0]
        found.append(f"{argument[1]}={argument[2]}")
        end = argument.end()
    return f"{match[1]}({', '.join(sorted(found))})"


def _sort_options(text: str) -> str:
    """Each plain command with its options first, in alphabetical order; text with redirections or expansions is left alone."""
    if " -" not in text:
        return text
    parts = SEPARATORS.split(text)
    if any(part.count(quote) % 2 for part in parts[::2] for quote in "\"'"):
        return text  # a separator within quotes
    return "".join(part if place % 2 else _sort_command(part) for place, part in enumerate(parts))


def _sort_command(command: str) -> str:
    words = WORD.findall(command)
    if len(words) < 3 or words[0] in ORDERED or QUOTED.match(words[0]):
        return command
    if "--" in words or "-" in words or any(re.match(r"\d*[<>]|-\d", word) for word in words):
        return command
    follows = [place for place in range(2, len(words)) if _may_be_a_value(words, place)]
    options: list[str] = []
    others: list[str] = []
    for place, word in enumerate(words[1:], 1):
        if word.startswith("-"):
            options.append(word)
        elif place in follows and len(follows) > 1:
            options[-1] += f" {word}"
        else:
            others.append(word)
    names = [option.split()[0] for option in options]
    return " ".join([words[0], *sorted(options), *others]) if len(set(names)) == len(names) else command


def _may_be_a_value(words: list[str], place: int) -> bool:
    """Whether the word is behind an option; a file at the end, behind a one-letter option, is taken for an argument of the command."""
    option, word = words[place - 1], words[place]
    is_file = place == len(words) - 1 and len(option) == 2 and any(mark in word for mark in "/.")
    return option.startswith("-") and "=" not in option and not word.startswith("-") and not is_file
