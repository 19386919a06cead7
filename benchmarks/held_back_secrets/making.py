"""From the rows of a set to texts: every secret is a pattern (a regular expression, or `@name` for a generator below), filled in at random.

Rules can fit a format, but not a value. In a context, § marks the secret and ‹pattern› is filled in at random.
"""

# ruff: noqa: E501
import base64
import json
import random
import re
import string
from collections.abc import Iterator
from re import _parser  # type: ignore[attr-defined]
from typing import NamedTuple

SEED = 14


class Case(NamedTuple):
    kind: str
    text: str
    secret: str | None  # None: nothing in the text may be redacted


def cases(secrets: list[tuple[str, str, str]], lookalikes: list[tuple[str, str]], seed: int = SEED, repeats: int = 1) -> Iterator[Case]:
    """Every row of both tables, `repeats` times with different random values."""
    rng = random.Random(seed)
    for _ in range(repeats):
        for kind, pattern, context in secrets:
            filled = fill(context, rng)
            secret = make(pattern, rng)
            yield Case(kind, filled.replace("§", secret), secret)
        for kind, context in lookalikes:
            yield Case(kind, fill(context, rng), None)


def parts_left(case: Case, redacted: str, length: int = 6) -> list[str]:
    """The parts of a secret, `length` characters or more, that are still in the redacted text and are not part of its context."""
    assert case.secret is not None
    context = case.text.replace(case.secret, "")
    remaining = re.sub(r"\[redacted[^\]]*\]", "\0", redacted)
    parts = {case.secret[i : i + length] for i in range(max(1, len(case.secret) - length + 1))}
    return sorted(part for part in parts if part in remaining and part not in context)


def fill(context: str, rng: random.Random) -> str:
    return re.sub("‹(.*?)›", lambda match: make(match[1], rng), context)


def make(pattern: str, rng: random.Random) -> str:
    return GENERATORS[pattern[1:]](rng) if pattern.startswith("@") else "".join(_walk(_parser.parse(pattern), rng))


def _walk(parsed: object, rng: random.Random) -> Iterator[str]:
    """A random string that matches a parsed pattern of literals, classes, groups, alternatives and counted repeats."""
    for operation, argument in parsed:  # type: ignore[attr-defined]
        match str(operation):
            case "LITERAL":
                yield chr(argument)
            case "IN":
                yield rng.choice(_members(argument))
            case "MAX_REPEAT":
                low, high, inner = argument
                for _ in range(rng.randint(low, high)):
                    yield from _walk(inner, rng)
            case "SUBPATTERN":
                yield from _walk(argument[3], rng)
            case "BRANCH":
                yield from _walk(rng.choice(argument[1]), rng)
            case _:
                raise ValueError(f"no generator for {operation}")


def _members(items: list[tuple[object, object]]) -> str:
    found = ""
    for operation, argument in items:
        match str(operation):
            case "LITERAL":
                found += chr(argument)  # type: ignore[arg-type]
            case "RANGE":
                found += "".join(map(chr, range(argument[0], argument[1] + 1)))  # type: ignore[index]
            case _:
                found += string.digits
    return found


def _base64(text: str | bytes, url: bool = False) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).decode().rstrip("=") if url else base64.b64encode(raw).decode()


def _jwt(rng: random.Random) -> str:
    header = {"alg": rng.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    payload = {
        "sub": make("[0-9]{6,10}", rng),
        "iss": make("https://auth[.]" + WORD + "[.]io", rng),
        "iat": rng.randint(1_700_000_000, 1_800_000_000),
    }
    return f"{_base64(json.dumps(header), url=True)}.{_base64(json.dumps(payload), url=True)}.{_base64(rng.randbytes(rng.choice([32, 64, 256])), url=True)}"


def _pem(rng: random.Random, prefix: str = "", newline: str = "\n") -> str:
    body = prefix + _base64(rng.randbytes(rng.choice([90, 300, 600, 1190])))
    return newline.join(body[i : i + 64] for i in range(0, len(body), 64))


def _sentry(rng: random.Random) -> str:
    claims = {
        "iat": rng.randint(1_700_000_000, 1_800_000_000),
        "url": "https://sentry.io",
        "region_url": "https://us.sentry.io",
        "org": make(WORD, rng),
    }
    return f"sntrys_{_base64(json.dumps(claims))}_{make('[A-Za-z0-9+/]{43}', rng)}"


def _mnemonic(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(SEED_WORDS.split(), k=words))


WORD = "([bdfgklmnprstvz][aeiou]){3,4}"  # an invented word
PASSWORDS = [
    "[A-Z]" + WORD + "[0-9]{2,4}[!$*]",
    WORD + "[-_.]" + WORD + "[-_.][0-9]{2,4}",
    "[A-Za-z0-9]{12,20}",
    "[A-Z][A-Za-z0-9]{5,7}[!%^*+][A-Za-z0-9]{4,6}",
]
ODD_PASSWORDS = [
    WORD + "@[a-z]{3}/[a-z0-9]{5}#[0-9]",
    "[A-Z]" + WORD + ":[0-9]{3}@[a-z]{4}",
    "[a-z]{4}@@[A-Za-z0-9]{5}[?][a-z]{3}",
    "[A-Za-z0-9]{4}/[A-Za-z0-9]{4}@[A-Za-z0-9]{4}",
    "[a-z]{5}&[A-Z]{3}=[0-9]{4}!",
]
SEED_WORDS = (
    "abandon ability absent acid acoustic adapt alley amateur anchor antenna apple arctic armor aspect atom autumn bacon badge banana barrel beach "
    "blanket blossom border bronze bubble cactus camera canyon carbon castle cereal cherry citizen clever cluster coconut copper coral cradle cricket "
    "crystal custom danger dawn debris denial desert dolphin donkey dragon eagle echo elbow elder elephant embark empty enact engine erosion exotic "
    "fabric falcon fatigue fiction flame forest fossil galaxy garlic gesture giraffe glimpse gossip gravity guitar hammer harvest helmet hybrid icon "
    "immune indoor inherit ivory jaguar jewel jungle kangaroo ketchup kingdom ladder lemon leopard lizard lobster lunar magnet mammal maple marble "
    "meadow mimic mosquito mushroom napkin neglect nuclear oblige ocean olympic orbit orchard ostrich oyster paddle panther parrot peanut pelican "
    "piano pioneer polar pumpkin puzzle quantum quiz rabbit raccoon ranch rebel ribbon rocket saddle salmon satoshi scorpion siren skull sponge "
    "squirrel stadium sunset swamp tattoo tennis thunder tiger tobacco tornado tragic trophy tundra turtle unicorn urban vacant velvet vintage "
    "violin volcano walnut whale whisper zebra zone"
)

GENERATORS = {
    "password": lambda rng: make(rng.choice(PASSWORDS), rng),
    "odd": lambda rng: make(rng.choice(ODD_PASSWORDS), rng),
    "jwt": _jwt,
    "pem": _pem,
    "pem_rsa": lambda rng: _pem(rng, "MII"),
    "pem_openssh": lambda rng: _pem(rng, "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"),
    "pem_escaped": lambda rng: _pem(rng, "MII", "\\n"),
    "pem_twice_escaped": lambda rng: _pem(rng, "MII", "\\\\n"),
    "pgp": lambda rng: _pem(rng, "lQPGBG"),
    "certificate": lambda rng: _base64("-----BEGIN CERTIFICATE-----\nMII" + _pem(rng) + "\n-----END CERTIFICATE-----\n"),
    "kube_key": lambda rng: _base64("-----BEGIN RSA PRIVATE KEY-----\nMII" + _pem(rng) + "\n-----END RSA PRIVATE KEY-----\n"),
    "basic": lambda rng: _base64(f"{make(WORD, rng)}:{make('@password', rng)}"),
    "discord": lambda rng: (
        f"{_base64(make('[1-9][0-9]{17}', rng), url=True)}.{make('[A-Za-z0-9_-]{6}.[A-Za-z0-9_-]{38}'.replace('}.', '}[.]'), rng)}"
    ),
    "sentry": _sentry,
    "mnemonic12": lambda rng: _mnemonic(rng, 12),
    "mnemonic24": lambda rng: _mnemonic(rng, 24),
    "user": lambda rng: make(WORD, rng),
    "email": lambda rng: make(f"{WORD}([._]{WORD}|[0-9]{{0,3}})@{WORD}(labs|soft|corp|bank|)[.](com|io|de|co[.]uk|net|org)", rng),
    "png": lambda rng: "iVBORw0KGgoAAAANSUhEUgAA" + _base64(rng.randbytes(rng.choice([60, 300, 900]))),
    "jpeg": lambda rng: "/9j/4AAQSkZJRgABAQAAAQABAAD/" + _base64(rng.randbytes(rng.choice([60, 300, 900]))),
}
