"""What counts as a secret or as personal data in a text: the rules of publish/redaction.toml, and the pieces of a text that they find."""

import json
import re
import socket
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow.compute as pc

from tratree_data.files import read_text

ANY_CASE = "(?i)"
BEGINS = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=[0-9]m)|(?<=\[[Km]))"
"""What a leading \\b of a rule means: an escaped end of line or a terminal's colour code may also precede a secret."""
BEGINS_FOR_RUST = r"(?-i:^|[^A-Za-z0-9_]|\\[nrt]|\\u[0-9A-Fa-f]{4}|[0-9]m|\[[Km])"
"""The same without look-around; it also matches what precedes, so it shows whether there is a secret, but not where."""
PLACEHOLDER = re.compile(r"\[redacted:[A-Za-z0-9_-]+(?::[a-z_]*[0-9]+)?\]")
MOST_ROUNDS = 8
"""Rules that find something only beside a placeholder are applied again; the first round without findings is the last, usually the second.
"""
LONG_TEXT = 1_024
"""From this length, most of a text is far from what was found in it, so the rules search line by line."""
COMPILED_FOR = 16_384
"""From so many bytes of suspicious text, compiling a rule for Rust pays."""
LOOKED_FIRST, FEW_TEXTS = 4_096, 64
"""From so many bytes of text, or texts, compiling all rules for Rust pays for a first search."""
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
STRING_IN_JSON = re.compile(r'"((?:[^"\\]|\\.)*)"|-?[0-9][0-9.eE+-]*')
ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.)")


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
    near: str
    """For Rust: matches, quickly, wherever `find` does; in the lower-case text if `any_case`."""
    any_case: bool
    find: str
    """For Rust, to choose texts; `pattern` is the same for Python, to change them."""
    let_through: re.Pattern[str] | None
    value: str
    pattern: re.Pattern[str]
    across_lines: bool
    """Whether a match may contain the end of a line; others are looked for line by line."""

    def choose(self, texts: pl.Series, lowered: pl.Series) -> Sequence[int]:
        """Which of the texts may contain a finding; compiling for Rust, half a millisecond, pays only for much text."""
        if texts.estimated_size() < COMPILED_FOR:
            return range(len(texts))
        near = (lowered if self.any_case else texts).str.contains(self.near).arg_true()
        return near.filter(texts.gather(near).str.contains(self.find)).to_list() if len(near) else []

    def spans(self, text: str) -> Iterator[Span]:
        for match in self.pattern.finditer(text):
            start, end = match.span("secret") if "secret" in self.pattern.groupindex else match.span()
            lead = LEAD.match(text, start, end) if self.kind == "email" else None
            start = lead.end() if lead else start
            if self.let_through is not None and self.let_through.fullmatch((text[start:end] if lead else match[0]).strip()):
                continue
            if start < end and not FILLER.search(text, start, end) and not (self.value and _is_harmless(text, start, end, self.value)):
                yield Span(start, end, self.kind)


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


def find_secrets(texts: pl.Series, rules: Sequence[Rule]) -> dict[str, tuple[Span, ...]]:
    """What to replace in each text that contains a secret, in order and without overlap.

    Afterwards the rules find nothing in it any more, and JSON is still valid.
    """
    found: dict[str, list[Span]] = {}
    current, places = texts.drop_nulls().unique(), dict[str, list[tuple[int, int, int, int]]]()
    originals: Sequence[str] = current
    for _ in range(MOST_ROUNDS):
        new = {originals[i]: spans for i, spans in _search(current, rules).items()}
        if not new:
            break
        for text, spans in new.items():
            found[text] = _merge(found.get(text, []) + [_translate(span, places.get(text, ())) for span in spans])
        replaced = {text: _replaced(text, found[text]) for text in new}
        places = {text: there for text, (_, there) in replaced.items()}
        originals, current = list(replaced), pl.Series([done for done, _ in replaced.values()], dtype=pl.String)
    return {text: tuple(_fit_into_json(text, spans) if text.lstrip()[:1] in ("{", "[") else spans) for text, spans in found.items()}


def _search(texts: pl.Series, rules: Sequence[Rule]) -> dict[int, list[Span]]:
    """What the rules find in the texts as they are; if several rules find the same piece, the first names the kind."""
    found: dict[int, list[tuple[int, Span]]] = {}
    for pieces, across_lines in zip(_suspects(texts, rules), (True, False), strict=True):
        numbered = [(number, rule) for number, rule in enumerate(rules) if rule.across_lines == across_lines]
        owners, starts, series = pieces["text"].to_list(), pieces["start"].to_list(), pieces["piece"]
        lowered = _in_small_letters(series)
        for number, rule in numbered:
            for i in rule.choose(series, lowered):
                for span in rule.spans(series[i]):
                    moved = span._replace(start=span.start + starts[i], end=span.end + starts[i])
                    found.setdefault(owners[i], []).append((number, moved))
    outside = {i: _without_placeholders(texts[i], [span for _, span in sorted(spans)]) for i, spans in found.items()}
    return {i: spans for i, spans in outside.items() if spans}


def _suspects(texts: pl.Series, rules: Sequence[Rule]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Where a rule may find something that crosses lines, and where one within a line: each with its text's number and its start there."""
    whole = pl.DataFrame({"piece": texts}).with_row_index("text").with_columns(start=pl.lit(0))
    if texts.estimated_size() < LOOKED_FIRST and len(texts) < FEW_TEXTS:
        return whole, whole
    is_long = texts.str.len_bytes() > LONG_TEXT
    long, short = whole.filter(is_long), whole.filter(~is_long)
    short = short.filter(_look(short["piece"], rules))
    across, within = ([rule for rule in rules if rule.across_lines == across_lines] for across_lines in (True, False))
    return pl.concat([short, long.filter(_look(long["piece"], across))]), pl.concat([short, _suspicious_lines(long, within)])


def _suspicious_lines(texts: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Each with its text's number and its start there; equal lines, of which sessions have many, are looked at once."""
    lines = texts.with_columns(pl.col("piece").str.split("\n")).explode("piece")
    distinct = lines["piece"].unique()
    found = distinct.filter(_look(distinct, rules))
    suspicious = pl.col("piece").is_in(found.implode())
    lines = lines.filter(pl.col("text").is_in(lines.filter(suspicious)["text"].unique().implode()))
    size = pl.col("piece").str.len_chars() + 1
    return lines.with_columns(start=size.cum_sum().over("text") - size).filter(suspicious).cast(texts.schema)


def _look(texts: pl.Series, rules: Sequence[Rule]) -> pl.Series:
    """Few expressions that cover many rules are fastest, up to a size from which on the engine runs out of memory for its states."""
    found = pl.repeat(False, len(texts), eager=True)
    for any_case, looked_at in ((False, texts), (True, _in_small_letters(texts))):
        near = [rule.near for rule in rules if rule.any_case == any_case]
        for half in (near[: len(near) // 2], near[len(near) // 2 :]):
            found |= looked_at.str.contains(_any_of(half)) if half else False
    return found


def _in_small_letters(texts: pl.Series) -> pl.Series:
    """Lower case of ASCII letters, which is what the rules need; for all alphabets, Polars takes fifteen times as long."""
    return pl.Series(pl.from_arrow(pc.ascii_lower(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))), dtype=pl.String)


def _lower(pattern: str) -> str:
    """Lower case in the same way as the texts: ASCII only."""
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), pattern)


def _any_of(patterns: Sequence[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _without_placeholders(text: str, spans: list[Span]) -> list[Span]:
    for placeholder in PLACEHOLDER.finditer(text) if spans else ():
        spans = [piece for span in spans for piece in _outside(span, *placeholder.span(), text)]
    return spans


def _outside(span: Span, start: int, end: int, text: str) -> Iterator[Span]:
    if span.end <= start or end <= span.start:
        yield span
        return
    for piece in (Span(span.start, start, span.kind), Span(end, span.end, span.kind)):
        if piece.start < piece.end and re.search(r"[A-Za-z0-9]{3}", text[piece.start : piece.end]):
            yield piece


def _merge(spans: Sequence[Span]) -> list[Span]:
    """Overlapping pieces become one, of the kind that came first in `spans`."""
    ranked = sorted(enumerate(spans), key=lambda item: (item[1].start, item[0]))
    merged: list[tuple[int, Span]] = []
    for rank, span in ranked:
        if merged and span.start < merged[-1][1].end:
            before_rank, before = merged[-1]
            kind = before.kind if before_rank < rank else span.kind
            merged[-1] = min(before_rank, rank), Span(before.start, max(before.end, span.end), kind)
        else:
            merged.append((rank, span))
    return [span for _, span in merged]


def _replaced(text: str, spans: Sequence[Span]) -> tuple[str, list[tuple[int, int, int, int]]]:
    """The text with placeholders, and (start, end, start in the original, end in the original) of each."""
    pieces, places, at, size = list[str](), list[tuple[int, int, int, int]](), 0, 0
    for span in spans:
        name = f"[redacted:{span.kind}:1]"
        size += span.start - at
        pieces += [text[at : span.start], name]
        places.append((size, size + len(name), span.start, span.end))
        size, at = size + len(name), span.end
    return "".join([*pieces, text[at:]]), places


def _translate(span: Span, places: Sequence[tuple[int, int, int, int]]) -> Span:
    """The piece of the original text that corresponds to a piece of the replaced one; never splits a placeholder."""
    shift = 0
    for _, end, _, original_end in places:
        if end <= span.start:
            shift = original_end - end
    return Span(span.start + shift, span.end + shift, span.kind)


def _fit_into_json(text: str, spans: list[Span]) -> list[Span]:
    """Pieces of JSON text end where its strings end and never cut an escape; a number is replaced as a whole."""
    try:
        json.loads(text)
    except ValueError:
        return spans
    fitted: list[Span] = []
    tokens = list(STRING_IN_JSON.finditer(text))
    at = 0
    for span in spans:
        while at < len(tokens) and tokens[at].end() <= span.start:
            at += 1
        for token in tokens[at:]:
            if token.start() >= span.end:
                break
            if token[1] is None:
                fitted.append(Span(*token.span(), span.kind, quoted=True))
            else:
                fitted += _inside(token, span, text)
    return fitted


def _inside(token: re.Match[str], span: Span, text: str) -> Iterator[Span]:
    start, end = max(span.start, token.start(1)), min(span.end, token.end(1))
    for escape in ESCAPE.finditer(text, token.start(1), token.end(1)):
        if escape.start() < start < escape.end():
            start = escape.start()
        if escape.start() < end < escape.end():
            end = escape.end()
    if start < end:
        yield Span(start, end, span.kind)


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


def _rule(kind: str, find: str, near: str = "", value: str = "", across_lines: bool = False, **others: str) -> Rule:
    free = re.compile(others["except"]) if "except" in others else None
    near, find = ((near or find).replace("(?P<secret>", "(?:").replace(r"\s", SPACES), find.replace(r"\s", SPACES))
    pattern = re.compile(_bounded(_boundaries(find, BEGINS, r"\b")), re.ASCII)
    any_case = near.startswith(ANY_CASE)
    near = _boundaries(near.removeprefix(ANY_CASE), BEGINS_FOR_RUST, r"(?-u:\b)").replace("{0,24}", "*")
    return Rule(
        kind,
        _lower(near) if any_case else near,
        any_case,
        _boundaries(find, BEGINS_FOR_RUST, r"(?-u:\b)"),
        free,
        value,
        pattern,
        across_lines,
    )


def _boundaries(find: str, begins: str, elsewhere: str) -> str:
    head, rest = (ANY_CASE, find.removeprefix(ANY_CASE)) if find.startswith(ANY_CASE) else ("", find)
    begins, rest = (begins, rest.removeprefix(r"\b")) if rest.startswith(r"\b") else ("", rest)
    return head + begins + rest.replace(r"\b", elsewhere)


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
