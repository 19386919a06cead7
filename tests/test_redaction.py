"""Secrets and personal data: what is found, what is let through, and that every table is redacted alike."""

import json
import random
import string
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
from helpers.secret_corpus import look_alikes, secrets
from helpers.shared_data import SHARED, needs_shared
from helpers.shop import build_all, import_rows, trajectories

from benchmarks.held_back_secrets import SETS
from benchmarks.held_back_secrets.making import cases, parts_left
from benchmarks.redaction_reference import apply_every_rule
from tratree_data.releases.leaks import find_leaks
from tratree_data.releases.publish import publish
from tratree_data.releases.redaction.redaction import Redactor
from tratree_data.releases.redaction.redaction_rules import load_rules
from tratree_data.store.checks import check
from tratree_data.store.published.release import open_release
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import table_from_rows

BODY = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6"

SECRETS = {
    "openai-key": f"sk-proj-{BODY}",
    "anthropic-key": f"sk-ant-api03-{BODY}",
    "huggingface-token": f"hf_{BODY}Qq",
    "github-token": f"ghp_{BODY}Qq34",
    "gitlab-token": f"glpat-{BODY[:20]}",
    "aws-key": "AKIAIOSFODNN7EXAMPLE",
    "aws-secret": "aws_secret_access_key = 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",
    "google-key": f"AIza{BODY}xyz",
    "azure-key": f"DefaultEndpointsProtocol=https;AccountKey={BODY}{BODY}==",
    "signature": f"?sv=2022-11-02&sp=r&sig={BODY}%3D",
    "webhook": f"https://discord.com/api/webhooks/123456789012345678/{BODY}",
    "telegram-token": f"110201543:AA{BODY}x",
    "model-key": f"gsk_{BODY}{BODY}",
    "service-token": f"dckr_pat_{BODY}",
    "slack-token": "xoxb-123456789012-abcdefABCDEF",
    "stripe-key": f"sk_live_{BODY[:24]}",
    "package-token": f"npm_{BODY}abcd",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4",
    "password": "postgres://admin:hunter2@db:5432/shop",
    "bearer-token": f"Authorization: Bearer {BODY}",
    "secret": f'api_key: "{BODY}"',
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIEowIBAAKCAQEA\nabc==\n-----END RSA PRIVATE KEY-----",
    "email": "eve.adams+shop@mail.evil-corp.io",
    "mnemonic": f"seed phrase: '{'eve ' * 11}eve'",
    "otp": f"otpauth://totp/x?secret={BODY}",
    "discord-token": f"M{BODY[:23]}.abcdef.{BODY}abcdef",
    "password-hash": f"$6${BODY[:8]}${BODY}",
    "registry-auth": f'{{"auth": "{BODY}"}}',
    "cookie": f'"Cookie: theme={BODY}"',
    "repository": "git@code.evil-corp.io:eve/private",
    "user-at-host": "eve@node17:~/work$ ls",
    "user": "/home/eve/projects",
    "host": "gpu-17.cluster.internal",
    "phone": "+1 (212) 867-5309",
}

MORE = [
    ("aws-secret", '{"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzzzzKEY123"}', "wJalr"),
    ("signature", f"https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={BODY}", BODY),
    ("google-key", f"1//0g{BODY}-L9Ir{BODY}", BODY),
    ("gitlab-token", f"glrt-{BODY[:20]}", BODY[:20]),
    ("stripe-key", f"whsec_{BODY}", BODY),
    ("model-key", f"r8_{BODY}abcde", BODY),
    ("model-key", f"tvly-dev-{BODY}", BODY),
    ("service-token", "dapi9f86d081884c7d659a2feaa0c55ad015", "9f86"),
    ("service-token", f"hvs.CAESI{BODY}", BODY),
    ("password", "curl -s -u alice:hunter2 https://api.shop.io", "hunter2"),
    ("password", "mysql -u root -pSup3rS3cret! shop", "Sup3r"),
    ("password", "export DB_PASSWORD=Tr0ub4dor", "Tr0ub4dor"),
    ("password", '{"user": "eve", "password": "hunter2"}', "hunter2"),
    ("bearer-token", "Authorization: Basic YWxpY2U6aHVudGVyMg==", "YWxp"),
    ("private-key", f"PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 2\n{BODY}\n{BODY}\nPrivate-MAC: 1", BODY),
    ("private-key", f"     1\t-----BEGIN EC PRIVATE KEY-----\n     2\t{BODY}\n     3\t-----END EC PRIVATE KEY-----", BODY),
    ("user", "/scratch/users/eve/run", "eve"),
    ("user", "/nfs/home/eve and /mnt/c/Users/eve", "eve"),
    ("user", r"C:\Users\Eve Adams\Desktop", "Adams"),
    ("user", r"\\fileserver\home\eve\docs", "eve"),
]
"""Other forms of the same kinds, as providers and shells write them: (kind, text, what must be gone)."""

CLEAN = [
    "lodash@4.17.21.tgz and react@18.2.0-rc.1.js",
    "https://user:password@host/path",
    "ubuntu@ubuntu:~$ ls and root@3f2a9c1b7d21:/# ls",
    "go to /kitchen, open /data/users.csv, GET /api/users/17, see /usr/share/doc/home/index",
    "click[B09QCVCYVY] at 550e8400-e29b-41d4-a716-446655440000, commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "docker run -u 1000:1000 x; curl -u $USER:$TOKEN y; mysql -p shop",
    'PASSWORD=$DB_PASSWORD, PASSWORD=<yours>, password: \'string\', {"password": "string"}',
    "Authorization: Basic credentials, Authorization: Bearer $OPENAI_API_KEY",
    "127.0.0.1:8000, python 3.11.4, sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "click[sk-II facial treatment essence]",
    "task-sk-learn-based and risk-based pipelines",
    "ssh git@github.com:org/name.git",
    "mail a@example.com or noreply@shop.com",
    "/home/user/alfworld and /home/ubuntu/x and /Users/Shared",
    "~/.local/bin, settings.local.json, threading.local()",
    "max_tokens: 12345678901234567890, token: the",
    "basic understanding of authorization",
    "The password is wrong. Your password: ",
    "price @ 20 dollars; 3@home",
    "https://example.org/home/page and ./home/page",
    "eyJ is not a token",
    "secretary: someone-of-the-office-of-the-king",
    "put the AKIAS on the table",
]


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found_and_gone(kind):
    redactor = Redactor()
    secret = SECRETS[kind]
    result = redactor.redact_text(f"before {secret} after", "here")
    assert f"[redacted:{kind}:1]" in result
    assert redactor.findings()[0].kind == kind
    assert result.startswith("before ")
    assert result.endswith(" after")
    for part in ("A1b2C3d4", "hunter2", "eve", "MIIEow", "EXAMPLE", "wJalr", "XXXX", "gpu-17"):
        assert part not in result


def test_every_rule_has_its_example():
    assert {rule.kind for rule in load_rules()} - {"home"} <= set(SECRETS)


@pytest.mark.parametrize(("kind", "text", "gone"), MORE)
def test_other_forms_are_found_in_tables_as_in_texts(kind, text, gone):
    rows = table_from_rows("dropped", [{"stage": "s", "subject": "x", "reason": "r", "detail": f"say {text}!"}])
    done = Redactor().redact_table("dropped", rows)["detail"][0].as_py()
    assert f"[redacted:{kind}:1]" in done
    assert gone not in done
    assert done == Redactor().redact_text(f"say {text}!", "here") == Redactor().redact_text(done, "here")


@pytest.mark.parametrize("text", CLEAN)
def test_what_is_nobodys_secret_is_let_through(text):
    assert Redactor().redact_text(text, "here") == text


@pytest.mark.parametrize("kind", SECRETS)
def test_anchors_let_no_secret_pass(kind):
    """The fast first look must see everything that the rules see."""
    rows = table_from_rows("dropped", [{"stage": "s", "subject": "x", "reason": "r", "detail": f"say {SECRETS[kind]}!"}])
    redactor = Redactor()
    done = redactor.redact_table("dropped", rows)
    assert f"[redacted:{kind}:1]" in done["detail"][0].as_py()
    assert [(f.table, f.column, f.count) for f in redactor.findings() if f.kind == kind] == [("dropped", "detail", 1)]


WAYS = {
    "escaped in JSON": lambda secret: json.dumps({"output": f"begin\n{secret}\nend"}),
    "escaped twice": lambda secret: json.dumps(json.dumps({"output": f"begin\n{secret}\tend"})),
    "between Chinese words": lambda secret: f"密钥是{secret}谢谢",
    "behind Chinese words in JSON": lambda secret: json.dumps(f"密钥是{secret} x"),
    "in colour": lambda secret: f"\x1b[01;31m{secret}\x1b[0m",
    "marked by grep": lambda secret: f"\x1b[01;31m\x1b[K{secret} \x1b[m",
    "at the end of a long page": lambda secret: "lorem ipsum " * 50 + secret,
    "with slashes escaped": lambda secret: json.dumps({"is": secret}).replace("/", "\\/"),
}


@pytest.mark.parametrize("way", WAYS)
def test_secrets_are_found_however_a_log_writes_them(way):
    """Tables, which take a fast first look, must agree with every rule on every text."""
    redactor = Redactor()
    for kind, secret in SECRETS.items():
        text = WAYS[way](secret)
        redactor.names.clear()
        redactor.numbers.clear()
        rows = table_from_rows("dropped", [{"stage": "s", "subject": "x", "reason": "r", "detail": text}])
        done = redactor.redact_table("dropped", rows)["detail"][0].as_py()
        assert f"[redacted:{kind}:1]" in done, (kind, text, done)
        assert done == redactor.redact_text(text, "here")


@pytest.mark.parametrize("kind", ["secret", "aws-secret", "bearer-token", "password", "host", "email"])
def test_the_case_of_letters_hides_nothing(kind):
    words = SECRETS[kind]
    odd = words.replace("key", "kEy").replace("secret", "sEcReT").replace("Bearer", "BEARER").replace("Basic", "bASIC").replace("in", "iN")
    for text in (words.upper(), words.lower(), odd):
        rows = table_from_rows("dropped", [{"stage": "s", "subject": "x", "reason": "r", "detail": text}])
        done = Redactor().redact_table("dropped", rows)["detail"][0].as_py()
        assert f"[redacted:{kind}:1]" in done
        assert done == Redactor().redact_text(text, "here")


def test_redacting_twice_changes_nothing_more():
    for secret in SECRETS.values():
        once = Redactor().redact_text(f"x {secret} y", "here")
        assert Redactor().redact_text(once, "here") == once


@pytest.mark.slow
def test_random_texts_in_any_company_are_redacted_alike():
    seed = 20260
    print("seed", seed)
    chance = random.Random(seed)
    letters = string.ascii_letters + string.digits + " \n.,:;/()[]'\"=-_@"
    for _ in range(200):
        noise = ["".join(chance.choices(letters, k=chance.randint(0, 400))) for _ in range(2)]
        text = f"{noise[0]} {chance.choice(list(SECRETS.values()))} {noise[1]}"
        alone = Redactor().redact_text(text, "here")
        rows = table_from_rows(
            "dropped", [{"stage": "s", "subject": "x", "reason": "r", "detail": value} for value in (text, "clean", text)]
        )
        table = Redactor().redact_table("dropped", rows)
        assert table["detail"].to_pylist() == [alone, "clean", alone]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_looking_first_finds_what_every_rule_finds(seed):
    """Secrets and look-alikes as they are, and changed, cut and joined at random, in one table."""
    print("seed", seed)
    chance = random.Random(seed)
    change = [str.upper, str.lower, str.swapcase, json.dumps, lambda text: text[chance.randrange(len(text)) :], lambda text: text + "\n"]
    plain = (
        [case.text for case in cases(SETS["first"].SECRETS, SETS["first"].LOOKALIKES, seed)]
        + list(SECRETS.values())
        + [text for _, text, _ in MORE]
        + CLEAN
    )
    changed = [chance.choice(change)(text) for text in plain]
    joined = [
        chance.choice(["", " ", "\n", "\x1c", "\xa0", "\u0130", "\u212a", ": ", "=", "'"]).join(pair)
        for pair in zip(plain, changed, strict=True)
    ]
    pages = ["\n".join(chance.sample(joined, 40)) for _ in range(5)]
    texts = [*plain, *changed, *joined, *pages, json.dumps(pages)]
    assert Redactor().redact_table("dropped", pa.table({"detail": texts}))["detail"].to_pylist() == apply_every_rule(texts)


def test_nested_messages_nulls_and_slices_keep_their_shape():
    mail = SECRETS["email"]
    messages = [
        [{"role": "user", "content": f"write to {mail}"}, {"role": "assistant", "content": "ok"}],
        [],
        [{"role": "user", "content": "hi"}],
    ]
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    rows = pa.table({"pair_id": ["a", "b", "c"], "prompt": pa.array(messages, kind), "model": pa.array([None, mail, ""], pa.string())})
    done = Redactor().redact_table("pairs", rows)
    assert done["prompt"].to_pylist()[0][0]["content"] == "write to [redacted:email:1]"
    assert done["prompt"].to_pylist()[1:] == messages[1:]
    assert done["model"].to_pylist() == [None, "[redacted:email:1]", ""]
    assert done.schema == rows.schema
    assert Redactor().redact_table("pairs", rows.slice(1, 2))["prompt"].to_pylist() == messages[1:]


def test_identifiers_and_settings(tmp_path):
    rows = pa.table({"rollout_id": ["eve@evil.io"], "task_id": ["/home/eve/t"], "split": ["eve@evil.io"]})
    done = Redactor().redact_table("rollouts", rows).to_pylist()[0]
    assert done == {"rollout_id": "[redacted:email:1]", "task_id": "/home/[redacted:user:1]/t", "split": "[redacted:email:1]"}
    settings = {
        "agent": {"api_key": "plain", "base_url": "http://gpu-17.cluster.internal:8000", "max_tokens": 5},
        "path": ["/home/eve/log"],
    }
    assert Redactor().redact_settings(settings, "lineage.json") == {
        "agent": {"api_key": "[redacted:api_key]", "base_url": "http://[redacted:host:1]:8000", "max_tokens": 5},
        "path": ["/home/[redacted:user:1]/log"],
    }


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A dataset with secrets in every text that a log can hold, and its release."""
    folder = tmp_path_factory.mktemp("redaction") / "leaky"
    texts = {
        "instruction": f"Buy shoes for {SECRETS['email']}",
        "observation": f"Results in /home/eve/shop, key sk-proj-{BODY}",
        "thought": f"The key is hf_{BODY}Qq",
        "action": "click[eve@node17:~/item]",
    }
    rows = trajectories(range(3), **texts)
    for row in rows:
        row["model"] = SECRETS["email"]
    build_all(import_rows(folder, rows))
    publish(folder, folder.parent / "release", "1.0.0")
    return folder


@pytest.mark.slow
def test_no_secret_is_left_anywhere_in_a_release(leaky):
    release = open_release(leaky.parent / "release")
    for table in release.sources:
        text = json.dumps(release.read(table).to_pylist(), default=str)
        for secret in ("sk-proj", "hf_A1b2", "evil-corp", "eve@", "/home/eve"):
            assert secret not in text, (table, secret)
    for path in (leaky.parent / "release/versions/1.0.0").rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            text = path.read_text(encoding="utf-8")
            assert not [secret for secret in (BODY, "evil-corp", "/home/eve", "eve@") if secret in text], path


def test_tables_stay_consistent_and_lossless(leaky):
    release, store = open_release(leaky.parent / "release"), open_store(leaky)
    assert not [row for row in check(leaky.parent / "release").to_pylist() if row["offending_rows"]]
    for table in ("nodes", "steps", "pairs", "demonstrations"):
        assert release.count(table) == store.count(table)
    rebuilt = """
        SELECT s.rollout_id, s.step FROM steps AS s JOIN step_nodes AS l USING (rollout_id, step) JOIN nodes AS n USING (node_id)
        WHERE s.action <> n.action OR s.observation <> coalesce(l.observation, n.observation) OR s.thought <> coalesce(l.thought, n.thought)
    """
    assert release.sql(rebuilt).num_rows == 0


def test_the_report_says_where_and_never_what(leaky):
    text = (leaky.parent / "release/reports/release.json").read_text()
    found = json.loads(text)["redacted"]
    assert {(item["kind"], item["table"], item["column"]) for item in found} >= {
        ("openai-key", "steps", "observation"),
        ("huggingface-token", "nodes", "thought"),
        ("user-at-host", "edges", "action"),
        ("email", "rollouts", "model"),
        ("email", "pairs", "prompt"),
    }
    steps = next(item for item in found if (item["table"], item["kind"]) == ("steps", "openai-key"))
    assert steps["count"] == 12
    assert steps["first"].startswith("rollout_id=")
    assert BODY not in text


def test_leaks_between_splits(tmp_path):
    words = "I need a pair of comfortable red running shoes for my brother in size ten under forty dollars please thanks a lot"
    instructions = {
        0: words,
        1: words.upper() + "!",
        2: words.replace("forty", "fifty"),
        3: "Something else entirely",
        4: "Nothing alike at all",
    }
    rows = []
    for task, instruction in instructions.items():
        rows += trajectories([task], attempts=1, instruction=instruction)
    store = open_store(import_rows(tmp_path / "leaks", rows))  # tasks 0 and 3 are in dev, the others in train
    leaks = [(leak.kind, leak.task_id, leak.other_task_id) for leak in find_leaks(store)]
    assert leaks == [("instruction", "task-0", "task-1"), ("near", "task-0", "task-2")]
    assert find_leaks(store, 0.99)[-1].kind == "instruction"


def test_near_instructions_are_those_that_a_plain_comparison_finds(tmp_path):
    seed = 7
    print("seed", seed)
    chance = random.Random(seed)
    rows, split_of, words_of = [], {}, {}
    for task in range(60):
        words = [f"w{chance.randint(0, 12)}" for _ in range(chance.randint(1, 14))]
        row = trajectories([task], attempts=1, instruction=" ".join(words))[0]
        rows.append(row)
        split_of[row["task_id"]], words_of[row["task_id"]] = row["split"], " ".join(words)
    store = open_store(import_rows(tmp_path / "many", rows))
    expected = set()
    for a, first in words_of.items():
        for b, second in words_of.items():
            one, two = set(first.split()), set(second.split())
            if split_of[a] == "dev" and split_of[b] == "train" and first != second and len(one & two) / len(one | two) >= 0.7:
                expected.add((first, second))
    found = {(words_of[leak.task_id], words_of[leak.other_task_id]) for leak in find_leaks(store, 0.7) if leak.kind == "near"}
    assert found == expected
    assert expected


@needs_shared
def test_real_logs_are_mostly_clean(tmp_path: Path):
    """Rules that fire on ordinary shop pages and shell sessions would spoil them."""
    import gzip

    text = gzip.decompress((SHARED / "webshop/products.jsonl.gz").read_bytes()).decode()
    lines = text.splitlines()
    rows = table_from_rows("dropped", [{"stage": "s", "subject": str(i), "reason": "r", "detail": line} for i, line in enumerate(lines)])
    redactor = Redactor()
    redactor.redact_table("dropped", rows)
    assert sum(finding.count for finding in redactor.findings()) <= len(lines) / 100, redactor.findings()


def test_most_kinds_of_the_held_back_set_are_found_and_look_alikes_stay():
    redact = Redactor().redact_text
    examples, harmless = secrets("held_back", 2), look_alikes("held_back", 2)
    found = [example for example in examples if example.secret not in redact(example.text, "here")]
    changed = [example.text for example in harmless if redact(example.text, "here") != example.text]
    assert len(examples) > 200
    assert len(found) >= 0.95 * len(examples)
    assert len(changed) <= 2, changed


def test_redaction_leaves_nothing_for_a_second_pass():
    redactor = Redactor()
    for example in secrets("held_back", 3):
        once = redactor.redact_text(example.text, "here")
        assert redactor.redact_text(once, "here") == once


def test_actions_that_differ_only_in_a_secret_stay_different_in_every_table(tmp_path):
    rows = trajectories(range(2))
    for row in rows:
        for number, step in enumerate(row["steps"]):
            step["action"] += f" to person{row['trajectory_id'][-1]}@{'ab'[number % 2]}firm.io"
    store = build_all(import_rows(tmp_path / "mails", rows))
    publish(store, tmp_path / "release", "1.0.0")
    release, original = open_release(tmp_path / "release"), open_store(store)
    for table in ("steps", "nodes", "edges"):
        distinct = f"SELECT count(DISTINCT action) AS n FROM {table} JOIN (SELECT * FROM rollouts WHERE task_id = 'task-0') USING ({{}})"
        key = "rollout_id" if table == "steps" else "tree_id"
        assert release.sql(distinct.format(key)).to_pylist() == original.sql(distinct.format(key)).to_pylist()
    assert not [row for row in check(tmp_path / "release").to_pylist() if row["offending_rows"]]
    assert "firm.io" not in json.dumps(release.read("pairs").to_pylist(), default=str)


def test_redacted_json_remains_json():
    texts = [json.dumps({"password": "a$b" + BODY, "mail": f"{name}\\n@x.io eve@firm.io"}) for name in ("eve", "\u00e9")]
    for text in texts:
        redacted = Redactor().redact_text(text, "here")
        assert BODY not in redacted
        assert list(json.loads(redacted)) == ["password", "mail"]


@pytest.mark.parametrize(
    "held_back",
    [SETS[name] for name in ("third", "fourth", "fifth", "seventh", "ninth")],
    ids=["third", "fourth", "fifth", "seventh", "ninth"],
)
def test_the_secrets_of_a_set_that_was_once_held_back_are_found_and_its_look_alikes_stay(held_back: ModuleType) -> None:
    examples = list(cases(held_back.SECRETS, held_back.LOOKALIKES))
    rules = load_rules()
    redacted = [Redactor(rules).redact_text(case.text, "here") for case in examples]
    wrong = [
        case.text
        for case, after in zip(examples, redacted, strict=True)
        if (parts_left(case, after) if case.secret is not None else after != case.text)
    ]
    assert len(examples) > 80
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        '"sessionId": "42b140ef-1c2d-4e3f-8a9b-409fd7c62e7f"',
        "cache key: f35f68aad47c8d64c7c2966cf49f7c39f63602eb35105d9ac91ed4b7ff6cc279",
        'credentials: "same-origin"',
        "page.fill('#search', 'red shoes size 42')",
        'child.expect("login:"); child.sendline("python3")',
        "openssl passwd -6 -stdin",
        "auth=(user, token)",
        "the key is missing_in_the_configuration_file",
        "Set PYTHONPATH to /srv/app1",
        '"value": "a1b2c3d4e5f6a7b8", "label": "Colour"',
        "The user forgot login and password reset failed",
        "queue.bind(exchange='x', routing_key='orders.created.v2')",
        "socket.connect('127.0.0.1', 'orders', 'fast')",
        "let token: String = next_token(input)?;",
        "password: str = Field(min_length=12)",
        "$ cat api/keys.py\nimport secrets_of_the_trade2",
        "[::1]:8080 GET /index.html:12",
        "config.secret.key is read from vault:kv2",
        "exit code is 137",
        "PASS src/login2.test.ts (5.3 s)",
        "token=GetNextTokenFromStream",
        "password: HttpClientPassword",
        "| max_tokens | 4096 |",
        "password | character varying(255)",
        "secret/db-credentials-v2 created",
        "Response code is: accepted202",
        "process.env.API_KEY || getKey1()",
        "VALID_KEY    means that it fits",
    ],
)
def test_what_only_looks_like_the_newer_rules_stays(text: str) -> None:
    assert Redactor(load_rules()).redact_text(text, "here") == text


@pytest.mark.parametrize(
    ("held_back", "documented"),
    [("sixth", {"|", "auth-user-pass"}), ("eighth", {"Cipher"})],
)
def test_of_a_set_only_the_places_that_are_documented_are_missed(held_back: str, documented: set[str]) -> None:
    rules = load_rules()
    missed = []
    for case in cases(SETS[held_back].SECRETS, SETS[held_back].LOOKALIKES):
        after = Redactor(rules).redact_text(case.text, "here")
        if case.secret is None:
            assert after == case.text
        elif parts_left(case, after) and any(map(str.isdigit, case.secret)):
            missed.append(case.text)
    assert {text.split()[0] for text in missed} <= documented, missed


def test_a_long_word_before_a_key_takes_no_longer_than_other_words() -> None:
    text = "a" * 50_000 + " x-key: " + "a" * 20 + "=="
    started = time.process_time()
    Redactor(load_rules()).redact_text(text, "here")
    assert time.process_time() - started < 3


@pytest.mark.parametrize("escape", [str, lambda text: json.dumps(text)[1:-1]], ids=["plain", "in JSON"])
def test_every_cell_below_a_heading_is_redacted_and_no_other(escape: Callable[[str], str]) -> None:
    table = (
        "id,login,password,api_key\n"
        + "".join(f"{number},app{number},pass{number}Word9,key{number}zq81Lm\n" for number in range(50))
        + "a,b1\n"
    )
    insert = "INSERT INTO users (id, password) VALUES (1, 'one1,(x)Two2'),\n (2, 'three3Four4');\n"
    after = Redactor(load_rules()).redact_text(escape(table + insert), "here")
    assert "Word9" not in after
    assert "zq81Lm" not in after
    assert not any(part in after for part in ("one1", "Two2", "three3"))
    assert all(f"{number},app{number},[redacted" in after for number in range(50))
    assert "a,b1" in after


@pytest.mark.parametrize("row", ["a,password\n", "password,", "INSERT INTO a (password) VALUES ('x'),", "x,password\n1,b2c3d4e5\n"])
def test_tables_of_headings_alone_take_time_that_grows_with_them(row: str) -> None:
    started = time.process_time()
    Redactor(load_rules()).redact_text(row * (60_000 // len(row)), "here")
    assert time.process_time() - started < 5
