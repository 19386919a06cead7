"""Recall and precision of publish's redaction, per kind: python benchmarks/redaction.py [held_back]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.secret_corpus import look_alikes, secrets

from tratree_data.releases.redaction import Redactor

SEED = 1


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "held_back"
    examples, harmless = secrets(name, SEED), look_alikes(name, SEED)
    missed = [e.kind for e in examples if not is_gone(e.secret, Redactor().redact_text(e.text, "here"))]
    changed = [e.text for e in harmless if Redactor().redact_text(e.text, "here") != e.text]
    for example in examples:
        print(f"{example.kind:24} {'missed' if example.kind in missed else 'found'}")
    for text in changed:
        print(f"redacted though harmless: {text}")
    found = len(examples) - len(missed)
    print(f"seed {SEED}: {found} of {len(examples)} secrets found, {len(changed)} of {len(harmless)} look-alikes redacted")


def is_gone(secret: str, text: str) -> bool:
    """Neither the secret nor its middle is left."""
    return secret not in text and (len(secret) <= 20 or secret[8:-8] not in text)


if __name__ == "__main__":
    main()
