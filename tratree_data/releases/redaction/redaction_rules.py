"""What counts as a secret or as personal data in a text: the rules of publish/redaction.toml, and the pieces of a text that they find."""

import re
import socket
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tratree_data.files import read_text
from tratree_data.releases.redaction.secret_columns import cells_below

ANY_CASE = "(?i)"
BEGINS = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=[0-9]m)|(?<=\[[Km]))"
"""What a leading \\b of a rule means: an escaped end of line or a terminal's colour code may also precede a secret."""
BEGINS_FOR_RUST = r"(?-i:^|[^A-Za-z0-9_]|\\[nrt]|\\u[0-9A-Fa-f]{4}|[0-9]m|\[[Km])"
"""The same without look-around; it also matches what precedes, so it shows whether there is a secret, but not where."""
PLACEHOLDER = re.compile(r"\[redacted:[A-Za-z0-9_-]+(?::[a-z_]*[0-9]+)?\]")
COMPILED_FOR = 16_384
"""From so many bytes of suspicious text, compiling a rule for Rust pays."""
SPACES = " \t\n\r\f\v\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What \\s of a rule means, always within brackets: the two engines know different spaces."""
FILLER = re.compile(r"([xX*.\u2022])\1{9}")
"""Placeholders in documentation contain this, secrets never do."""

SECRET = "(?P<secret>"
TOKEN = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.|\(\?P<\w+>|\[\^?\]?|.", re.DOTALL)
"""The pieces of a regular expression; a bracket that opens a class, with what is special only there."""
SURROUNDING = 100

STAND_IN = re.compile(
    r"(?i)(your|my|the|some|an?|db|user|admin|new|old|test|fake|dummy)?[_-]?(pass|passwd|password|passphrase|pwd|secret|token|key|api[_-]?key|"
    r"value|string|text|str|bytes|changeme|change[_-]?me|example|required|optional|null|none|nil|true|false|hidden|undefined|default|"
    r"placeholder|redacted|x{3,}|\*+|\.+|-+|_+)([_-]?here|[_-]?[0-9]{1,2})?[.,;:!?]*|your[_-].*|example.*|.*[_-]here|(.)\3{5,}"
)
CODE = re.compile(
    r"([A-Za-z_]\w*(\.|::|->))+[A-Za-z_][A-Za-z_]*\W*|0x([0-9a-fA-F]{1,16}|[0-9a-fA-F]{40})|[$%<{&*@].*|.*(\$\{|\{\{|\(\)).*|![A-Za-z-]+|!.*=.*|=.*"
)
PATH = re.compile(r"([A-Za-z]:|[.~]{0,2}|[\w.-]+)(/[\w.-]+)*/[\w-]+(\.[a-z]{1,5}|/)?")


LEAD = re.compile(r"(?<=\\)(?:[nrt]|u[0-9A-Fa-f]{4})|(?<=[\[;])[0-9]*[mK]")
"""The rest of an escape or of a terminal's colour code, which looks like the beginning of an address."""


class Span(NamedTuple):
    """A piece of a text to replace; `quoted` if the replacement needs its own quotes, because it replaces a number in JSON."""

    start: int
    end: int
    kind: str
    quoted: bool = False


@dataclass(frozen=True)
class Rule:
    kind: str
    anchors: tuple[str, ...]
    """Words in small letters, of which one is in every piece of text that `find` matches; none if there are no such words."""
    near: str
    """Without anchors, for Rust: matches, quickly, wherever `find` does; in the lower-case text if `any_case`."""
    any_case: bool
    find: str
    """For Rust, to choose texts; `pattern` is the same for Python, to change them."""
    let_through: re.Pattern[str] | None
    value: str
    pattern: re.Pattern[str]
    across_lines: bool
    """Whether a match may contain the end of a line; others are looked for line by line."""
    heads_columns: bool = False
    """Whether a match is the heading of a table, whose cells are the secrets."""

    def is_near(self, lowered: str) -> bool:
        return not self.anchors or any(anchor in lowered for anchor in self.anchors)

    def choose(self, near: pl.Series, size: int) -> pl.Series:
        """Which of the texts may contain a finding; compiling for Rust, half a millisecond, pays only for much text."""
        return near.filter(near.str.contains(self.find)) if size >= COMPILED_FOR else near

    def spans(self, text: str) -> Iterator[Span]:
        if self.heads_columns:
            cells = cells_below(text, self.pattern.finditer(text))
            yield from (Span(start, end, self.kind) for start, end in cells if self._is_secret(text, start, end))
            return
        for match in self.pattern.finditer(text):
            start, end = match.span("secret") if "secret" in self.pattern.groupindex else match.span()
            lead = LEAD.match(text, start, end) if self.kind == "email" else None
            start = lead.end() if lead else start
            if self.let_through is not None and self.let_through.fullmatch((text[start:end] if lead else match[0]).strip()):
                continue
            if self._is_secret(text, start, end):
                yield Span(start, end, self.kind)

    def _is_secret(self, text: str, start: int, end: int) -> bool:
        return start < end and not FILLER.search(text, start, end) and not (self.value and _is_harmless(text, start, end, self.value))


def load_rules() -> list[Rule]:
    return [*_written_rules(), *_rules_of_this_machine()]


@cache
def _written_rules() -> tuple[Rule, ...]:
    content = tomllib.loads(read_text("publish", "redaction.toml"))
    entries: list[dict[str, Any]] = [
        {
            name: re.sub("«(.*?)»", lambda word: content["words"][word[1]], text) if isinstance(text, str) else text
            for name, text in entry.items()
        }
        for entry in content["rule"]
    ]
    return tuple(_rule(**entry) for entry in entries)


def _is_harmless(text: str, start: int, end: int, check: str) -> bool:
    value, following = text[start:end], text[end : end + 1]
    if check == "phone":
        digits = re.sub("[^0-9]", "", value)
        return not 7 <= len(digits) <= 15 or digits in "012345678901234567890" or "55501" in digits
    if following == "(":
        return True
    if check == "called":
        return False
    if STAND_IN.fullmatch(value) or CODE.fullmatch(value) or following == "[":
        return True
    if check == "code":
        return False
    letters, digit = re.search(r"[^\W\d_]", value), re.search(r"[0-9]", value)
    mark = re.search(r"[!#%&*+?^~@$]", value.rstrip("!?"))
    return not letters or not (digit or mark or _is_mixed(value)) or bool(PATH.fullmatch(value) and not digit)


def _is_mixed(value: str) -> bool:
    """Letters that were drawn: many capitals and hardly a word between them, unlike names that are joined of words."""
    if len(value) < 12 or not value.isalpha():
        return False
    words = re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", value)
    return len(value) <= 3 * len(words) or (len(value) >= 20 and 1 / 3 <= sum(map(str.isupper, value)) / len(value) <= 4 / 5)


def _rule(
    kind: str,
    find: str,
    anchors: Sequence[str] = (),
    near: str = "",
    value: str = "",
    across_lines: bool = False,
    heads_columns: bool = False,
    **others: str,
) -> Rule:
    free = re.compile(others["except"]) if "except" in others else None
    near, find = ((near or find).replace("(?P<secret>", "(?:").replace(r"\s", SPACES), find.replace(r"\s", SPACES))
    pattern = re.compile(_bounded(_boundaries(find, BEGINS, r"\b")), re.ASCII)
    any_case = near.startswith(ANY_CASE)
    near = _unbounded(_boundaries(near.removeprefix(ANY_CASE), BEGINS_FOR_RUST, r"(?-u:\b)"))
    return Rule(
        kind,
        tuple(anchors),
        _lower(near) if any_case else near,
        any_case,
        _unbounded(_boundaries(find, BEGINS_FOR_RUST, r"(?-u:\b)")),
        free,
        value,
        pattern,
        across_lines,
        heads_columns,
    )


def _lower(pattern: str) -> str:
    """Lower case in the same way as the texts: ASCII only."""
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), pattern)


def _boundaries(find: str, begins: str, elsewhere: str) -> str:
    head, rest = (ANY_CASE, find.removeprefix(ANY_CASE)) if find.startswith(ANY_CASE) else ("", find)
    begins, rest = (begins, rest.removeprefix(r"\b")) if rest.startswith(r"\b") else ("", rest)
    return head + begins + rest.replace(r"\b", elsewhere)


def _unbounded(find: str) -> str:
    """Rust is linear anyway, but compiles a repeat as often as it may be repeated; what it chooses in excess, Python does not match."""
    find = re.sub(r"\{([01]),[0-9]{2,}\}", lambda bounds: "*+"[int(bounds[1])], find)
    return re.sub(r"(\[\^(?:\\.|[^\]\\])*\])\{[1-9][0-9]*,[0-9]*\}", r"\1+", find)


def _bounded(find: str) -> str:
    """What surrounds a secret is short: a repeat without an end there would go back over a long text from each of its places."""
    if SECRET not in find:
        return find
    pieces, in_class, depth, closed = list[str](), False, 0, -1
    for token in TOKEN.findall(find):
        if token == SECRET:
            closed = depth
        if token.startswith("(") and not in_class:
            depth += 1
        elif token == ")" and not in_class:
            depth -= 1
            closed = -1 if depth == closed else closed
        in_class = token.startswith("[") or (in_class and token != "]")
        bound = {"*": f"{{0,{SURROUNDING}}}", "+": f"{{1,{SURROUNDING}}}"}.get(token) if not in_class and closed < 0 else None
        pieces.append(bound or token)
    return "".join(pieces)


def _rules_of_this_machine() -> Iterator[Rule]:
    """The home folder and the host name of whoever publishes, if they are distinctive names rather than common words."""
    home = str(Path.home())
    if home.count("/") >= 2 and not home.startswith(("/home/", "/Users/")):
        yield _rule("home", re.escape(home).replace("\\-", "-"))
    host = socket.gethostname()
    if len(host) >= 6 and re.search(r"[0-9-]", host) and re.fullmatch(r"[A-Za-z0-9.-]+", host):
        yield _rule("host", rf"\b{host.replace('.', '[.]')}\b")
