"""The first held-back set for redaction: secrets in realistic contexts, and look-alikes that must stay.

It was written and committed before its author had read the rules, so it measures them instead of repeating them.
Every secret is a pattern (a regular expression, or `@name` for a generator below), and its values are random: rules can fit a format, but not
a value. In a context, § marks the secret and ‹pattern› is filled in at random. `cases(SECRETS, LOOKALIKES, seed)` yields them all.
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

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

# fmt: off
SECRETS: list[tuple[str, str, str]] = [
    # Credential files
    ("credential file", "@kube_key", "$ cat ~/.kube/config\napiVersion: v1\nkind: Config\nusers:\n- name: prod-admin\n  user:\n    client-certificate-data: ‹@certificate›\n    client-key-data: §\n"),
    ("credential file", "@jwt", "users:\n- name: gke-ci\n  user:\n    token: §\ncurrent-context: gke-ci\n"),
    ("credential file", "[A-Za-z0-9]{6}[.][a-z0-9]{16}", "kind: Config\nusers:\n- name: kubelet-bootstrap\n  user:\n    token: §\n"),
    ("credential file", "@basic", '$ cat ~/.docker/config.json\n{\n\t"auths": {\n\t\t"https://index.docker.io/v1/": {\n\t\t\t"auth": "§"\n\t\t}\n\t}\n}'),
    ("credential file", "@basic", '{"auths":{"ghcr.io":{"auth":"§"},"quay.io":{}},"credsStore":""}'),
    ("credential file", "[A-Za-z0-9_-]{60,90}", '{"auths": {"registry.gitlab.com": {"identitytoken": "§"}}}'),
    ("credential file", "@password", "$ cat ~/.netrc\nmachine git.‹([bdfgklmnprstvz][aeiou]){3}›.net\n  login build-bot\n  password §\n"),
    ("credential file", "@password", "machine api.heroku.com login deploy@heroku password §"),
    ("credential file", "@password", "$ cat ~/.pgpass\ndb.internal:5432:orders:app_rw:§\n"),
    ("credential file", "npm_[A-Za-z0-9]{36}", "$ cat .npmrc\nregistry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=§\n"),
    ("credential file", UUID, "//npm.pkg.internal/:_authToken=§\nalways-auth=true\n"),
    ("credential file", "@basic", "//artifactory.internal/api/npm/npm/:_auth=§\n"),
    ("credential file", "@password", "[distutils]\nindex-servers = internal\n\n[internal]\nrepository = https://pypi.internal/\nusername = ci\npassword = §\n"),
    ("credential file", "@password", "$ cat ~/.git-credentials\nhttps://svc-build:§@git.example.net\n"),
    ("credential file", "[A-Za-z0-9/+]{40}", "[default]\naws_access_key_id = AKIA‹[A-Z2-7]{16}›\naws_secret_access_key = §\nregion = eu-west-1\n"),
    ("credential file", "@password", "[client]\nuser=root\npassword=§\nhost=127.0.0.1\n"),
    ("credential file", "@password", '<server>\n  <id>nexus-releases</id>\n  <username>deployment</username>\n  <password>§</password>\n</server>'),
    ("credential file", "@pem_escaped", '{"type": "service_account", "project_id": "vision-prod", "private_key_id": "‹[0-9a-f]{40}›", "private_key": "-----BEGIN PRIVATE KEY-----\\n§\\n-----END PRIVATE KEY-----\\n"}'),
    ("credential file", "1//0[0-9a-z][A-Za-z0-9_-]{95,100}", '{\n  "client_id": "764086051850-x.apps.googleusercontent.com",\n  "refresh_token": "§",\n  "type": "authorized_user"\n}'),
    ("credential file", "[A-Za-z0-9_-]{86}", "$ cat ~/.config/gh/hosts.yml\ngithub.com:\n    user: octo\n    oauth_token: §\n    git_protocol: ssh\n"),
    # Passwords in configuration files
    ("config password", "@password", "database:\n  host: db-01.prod\n  port: 5432\n  username: app\n  password: §\n  pool: 20\n"),
    ("config password", "@odd", 'redis:\n  host: cache\n  password: "§"\n'),
    ("config password", "@odd", "spring.datasource.url=jdbc:mysql://db:3306/shop\nspring.datasource.username=shop\nspring.datasource.password=§\n"),
    ("config password", "@password", "[smtp]\nhost = smtp.mailprovider.net\nuser = notify\npasswd = §\n"),
    ("config password", "@password", "[postgresql]\nhost=localhost\nuser=etl\npassword = '§'\n"),
    ("config password", "@password", '{"host": "10.2.0.8", "user": "reporting", "password": "§", "database": "dwh"}'),
    ("config password", "@odd", '{\n  "ConnectionSettings": {\n    "DbPassword": "§",\n    "Timeout": 30\n  }\n}'),
    ("config password", "@password", "DATABASES = {\n    'default': {\n        'ENGINE': 'django.db.backends.postgresql',\n        'USER': 'web',\n        'PASSWORD': '§',\n    }\n}\n"),
    ("config password", "[a-z0-9!@#$%^&*(=_+)-]{50}", "# SECURITY WARNING: keep the secret key used in production secret!\nSECRET_KEY = 'django-insecure-§'\n"),
    ("config password", "@password", "services:\n  db:\n    image: postgres:16\n    environment:\n      POSTGRES_USER: app\n      POSTGRES_PASSWORD: §\n"),
    ("config password", "@password", "services:\n  db:\n    image: mysql:8\n    environment:\n      - MYSQL_ROOT_PASSWORD=§\n      - MYSQL_DATABASE=wp\n"),
    ("config password", "@password", "define('DB_NAME', 'wordpress');\ndefine('DB_USER', 'wp');\ndefine('DB_PASSWORD', '§');\n"),
    ("config password", "@password", 'resource "aws_db_instance" "main" {\n  username = "admin"\n  password = "§"\n}\n'),
    ("config password", "[A-Za-z0-9+/]{24,32}=", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: §\n"),
    ("config password", "[A-Za-z0-9]{32}", "[auth]\nclient_id = dashboards\nclient_secret = §\n"),
    ("config password", "@password", "auth:\n  rootPassword: §\n  replicaCount: 3\n"),
    ("config password", "[0-9a-f]{64}", "production:\n  secret_key_base: §\n"),
    ("config password", "@password", "requirepass §\nmaxmemory 2gb\n"),
    ("config password", "@password", "ansible_user: deploy\nansible_become_pass: §\n"),
    ("config password", "@password", "wpa_passphrase=§\nssid=HomeNet\n"),
    # Environment variables
    ("environment variable", "@password", "$ env | sort\nDB_HOST=db\nDB_PASS=§\nDB_USER=app\nHOSTNAME=worker-7\n"),
    ("environment variable", "@password", "$ printenv\nPATH=/usr/bin:/bin\nMYSQL_PWD=§\nLANG=C.UTF-8\n"),
    ("environment variable", "@password", "PGPASSWORD=§ psql -h db -U app -c 'select 1'"),
    ("environment variable", "@odd", "export SMTP_PASSWORD='§'\npython send.py"),
    ("environment variable", "[0-9a-f]{40}", "WANDB_API_KEY=§\nWANDB_PROJECT=rl-agents\n"),
    ("environment variable", "[A-Za-z0-9]{32}", "export MISTRAL_API_KEY=§"),
    ("environment variable", "[0-9a-f]{64}", "TOGETHER_API_KEY=§ python eval.py"),
    ("environment variable", "[A-Za-z0-9]{40}", "$ cat .env\nCO_API_KEY=§\n"),
    ("environment variable", "[0-9a-f]{32}", 'ENV DD_API_KEY="§"\nENV DD_SITE=datadoghq.eu\n'),
    ("environment variable", "[0-9a-f]{32}", "set -x TWILIO_AUTH_TOKEN §"),
    ("environment variable", "[A-Za-z0-9_-]{40}", 'os.environ["CLOUDFLARE_API_TOKEN"] = "§"'),
    ("environment variable", "[A-Za-z0-9]{24}", "VERCEL_TOKEN=§\nVERCEL_ORG_ID=team_x\n"),
    ("environment variable", "[A-Za-z0-9]{30}", "ALIBABA_CLOUD_ACCESS_KEY_ID=LTAI5t‹[A-Za-z0-9]{18}›\nALIBABA_CLOUD_ACCESS_KEY_SECRET=§\n"),
    ("environment variable", "[0-9a-f]{64}", "$ cat .env\nRPC_URL=http://localhost:8545\nPRIVATE_KEY=0x§\n"),
    ("environment variable", "[0-9a-f]{64}", "DEPLOYER_PRIVATE_KEY=§"),
    ("environment variable", "@password", "setx ADMIN_PASSWORD §\r\n"),
    ("environment variable", "@password", '$env:SQL_PASSWORD = "§"; ./deploy.ps1'),
    ("environment variable", "[A-Za-z0-9+/]{43}=", "NEXTAUTH_SECRET=§\nNEXTAUTH_URL=http://localhost:3000\n"),
    ("environment variable", "[0-9a-f]{32}", "process.env.JWT_SECRET = '§';"),
    ("environment variable", "[A-Za-z0-9]{20,28}", "  - name: GRAFANA_ADMIN_PASSWORD\n    value: §\n"),
    ("environment variable", "[A-Za-z0-9/+]{40}", "export AWS_SECRET_ACCESS_KEY=§"),
    ("environment variable", "[A-Za-z0-9/+]{300,340}==", "AWS_SESSION_TOKEN=§"),
    ("environment variable", UUID, "HEROKU_API_KEY=§ heroku releases"),
    # JSON tool arguments (as an `action` is stored)
    ("tool argument", "@password", 'bash {"command": "mysql -u root -p§ shop -e \'show tables\'"}'),
    ("tool argument", "@password", 'login {"password": "§", "username": "mira"}'),
    ("tool argument", "sk-proj-[A-Za-z0-9_-]{74}T3BlbkFJ[A-Za-z0-9_-]{74}", 'write_file {"content": "import openai\\nclient = openai.OpenAI(api_key=\\"§\\")\\n", "path": "run.py"}'),
    ("tool argument", "@odd", 'bash {"command": "export DB_PASSWORD=\\"§\\" && ./migrate.sh"}'),
    ("tool argument", "[A-Za-z0-9]{32}", 'http_request {"headers": {"x-api-key": "§"}, "url": "https://api.vendor.io/v1/items"}'),
    ("tool argument", "@pem_twice_escaped", 'bash {"command": "printf \'-----BEGIN RSA PRIVATE KEY-----\\\\n§\\\\n-----END RSA PRIVATE KEY-----\' > id"}'),
    ("tool argument", "@password", 'browser_type {"element": "Password", "ref": "e21", "text": "§"}'),
    # Headers and cookies
    ("header", "[A-Za-z0-9_-]{40,60}", "curl -s -H 'Authorization: Bearer §' https://api.internal/v2/users"),
    ("header", "@basic", "> GET /rest HTTP/1.1\n> Host: jira.internal\n> Authorization: Basic §\n> Accept: */*\n"),
    ("header", "[0-9a-f]{37}", "curl -X GET https://api.cloudflare.com/client/v4/zones -H 'X-Auth-Key: §' -H 'X-Auth-Email: ‹@email›'"),
    ("header", "[A-Za-z0-9]{32}", 'requests.get(url, headers={"X-API-Key": "§", "Accept": "application/json"})'),
    ("header", "[0-9a-f]{40}", 'headers = {"Authorization": "Token §"}'),
    ("header", "[A-Za-z0-9_-]{36}", "curl --header 'PRIVATE-TOKEN: §' https://git.internal/api/v4/projects"),
    ("header", "[A-Za-z0-9_-]{20,40}", "X-Vault-Token: §"),
    ("header", "[A-Za-z0-9+/]{44}", "Ocp-Apim-Subscription-Key: §"),
    ("header", "[0-9a-f]{32}", "Proxy-Authorization: Digest username=\"ops\", realm=\"proxy\", nonce=\"x\", response=\"§\""),
    ("header", "[A-Za-z0-9]{32}", "-H 'apikey: §'"),
    ("cookie", "[A-Za-z0-9%._-]{60,90}", "> Cookie: sessionid=§\n> User-Agent: curl/8.5\n"),
    ("cookie", "[a-z0-9]{26}", "< HTTP/2 200\n< set-cookie: PHPSESSID=§; path=/; HttpOnly\n"),
    ("cookie", "[0-9A-F]{32}", "curl -b 'JSESSIONID=§' http://build.internal/job/api/json"),
    ("cookie", "s%3A[A-Za-z0-9_-]{32}[.][A-Za-z0-9%]{43}", 'fetch(u, { headers: { "cookie": "connect.sid=§; theme=dark" } })'),
    ("cookie", "[A-Za-z0-9_-]{120,160}", "session.cookies.set('auth_token', '§', domain='.site.net')"),
    ("cookie", "[A-Za-z0-9_-]{64,80}", "Cookie: theme=dark; li_at=§; lang=en"),
    # Command lines
    ("command line", "@password", "sshpass -p '§' ssh ops@10.0.4.17 uptime"),
    ("command line", "@password", "sshpass -p§ scp dump.sql ops@10.0.4.17:/tmp"),
    ("command line", "@password", "./manage migrate --db-user app --db-password § --dry-run"),
    ("command line", "@password", "docker login -u ci -p § registry.internal"),
    ("command line", "@password", "$ echo § | docker login -u ci --password-stdin"),
    ("command line", "@password", "curl -u admin:§ http://nexus.internal/service/rest/v1/status"),
    ("command line", "@password", "curl --user 'svc_jenkins:§' -O https://repo.internal/a.jar"),
    ("command line", "@odd", "mysql --user=root --password='§' < schema.sql"),
    ("command line", "@password", "mongosh --host m1 -u admin -p § --authenticationDatabase admin"),
    ("command line", "@password", "redis-cli -h cache -a § ping"),
    ("command line", "[A-Za-z0-9]{30,40}", "helm upgrade app ./chart --set auth.token=§ --wait"),
    ("command line", "[A-Za-z0-9_-]{32}", "sonar-scanner -Dsonar.login=§ -Dsonar.host.url=http://sonar"),
    ("command line", "@password", "openssl rsa -in key.pem -passin pass:§ -out plain.pem"),
    ("command line", "[A-Za-z0-9]{36}", "vault login token=§"),
    ("command line", "@password", "keytool -importkeystore -srcstorepass § -srckeystore a.p12"),
    ("command line", "[a-z0-9]{6}[.][a-z0-9]{16}", "kubeadm join 10.0.0.1:6443 --token § --discovery-token-unsafe-skip-ca-verification"),
    ("command line", "@password", "$ echo '§' | sudo -S apt-get install -y jq"),
    ("command line", "@password", "net use Z: \\\\files\\share /user:CORP\\svc §"),
    ("command line", "@password", "psql 'host=db user=app password=§ dbname=orders'"),
    # URLs
    ("URL password", "@password", "DATABASE_URL=postgres://app:§@db.internal:5432/orders"),
    ("URL password", "@odd", "DATABASE_URL=postgresql://app:§@10.3.1.4/orders"),
    ("URL password", "@odd", "sqlalchemy.exc.OperationalError: could not connect: mysql+pymysql://root:§@db:3306/wp?charset=utf8mb4"),
    ("URL password", "@password", "REDIS_URL=redis://:§@cache.internal:6379/0"),
    ("URL password", "@odd", "mongodb+srv://admin:§@cluster0.ab1cd.mongodb.net/?retryWrites=true"),
    ("URL password", "@password", "amqp://worker:§@rabbit:5672/vhost"),
    ("URL password", "gh[ops]_[A-Za-z0-9]{36}", "$ git remote -v\norigin\thttps://x-access-token:§@github.com/acme/api.git (fetch)\n"),
    ("URL password", "@password", "git clone https://dev:§@git.internal/team/app.git"),
    ("URL password", "[a-z0-9]{52}", "fatal: unable to access 'https://§@dev.azure.com/org/proj/_git/repo/': 403"),
    ("URL password", "@password", "export HTTPS_PROXY=http://proxyuser:§@proxy.corp:3128"),
    ("URL password", "[A-Za-z0-9]{24,40}", "GET https://api.weather.io/v1/now?city=Oslo&api_key=§&units=m 200"),
    ("URL password", "[A-Za-z0-9]{24,40}", "https://maps.internal/tiles?access_token=§"),
    ("URL password", "[A-Za-z0-9%]{43,60}", "https://acct.blob.core.windows.net/c/f.csv?sv=2023-01-03&se=2026-01-01&sr=b&sp=r&sig=§"),
    ("URL password", "[0-9a-f]{64}", "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature=§"),
    ("URL password", "T[A-Z0-9]{8,10}/B[A-Z0-9]{8,10}/[A-Za-z0-9]{24}", "curl -d '{}' https://hooks.slack.com/services/§"),
    ("URL password", "[0-9]{18}/[A-Za-z0-9_-]{68}", "WEBHOOK=https://discord.com/api/webhooks/§"),
    ("URL password", "[A-Z2-7]{32}", "otpauth://totp/Acme:mira?secret=§&issuer=Acme"),
    ("URL password", "@odd", "jdbc:postgresql://db:5432/app?user=app&password=§"),
    ("URL password", "@password", "smtp://notify:§@smtp.internal:587"),
    # Connection strings
    ("connection string", "[A-Za-z0-9+/]{86}==", "DefaultEndpointsProtocol=https;AccountName=acmestore;AccountKey=§;EndpointSuffix=core.windows.net"),
    ("connection string", "[A-Za-z0-9+/]{86}==", "AccountEndpoint=https://acme.documents.azure.com:443/;AccountKey=§;"),
    ("connection string", "[A-Za-z0-9+/]{43}=", "Endpoint=sb://bus.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=§"),
    ("connection string", "@password", "Server=tcp:sql.internal,1433;Initial Catalog=app;User ID=sa;Password=§;Encrypt=True;"),
    ("connection string", "@password", "Driver={ODBC Driver 18};Server=db;Uid=app;Pwd=§;"),
    ("connection string", "@password", "dsn = 'user=etl password=§ host=db port=5432'"),
    # Private keys and wallets
    ("private key", "@pem_rsa", "$ cat server.key\n-----BEGIN RSA PRIVATE KEY-----\n§\n-----END RSA PRIVATE KEY-----\n"),
    ("private key", "@pem_openssh", "-----BEGIN OPENSSH PRIVATE KEY-----\n§\n-----END OPENSSH PRIVATE KEY-----"),
    ("private key", "@pem", "-----BEGIN EC PRIVATE KEY-----\n§\n-----END EC PRIVATE KEY-----"),
    ("private key", "@pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n§\n-----END ENCRYPTED PRIVATE KEY-----"),
    ("private key", "@pgp", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n§\n=aB3d\n-----END PGP PRIVATE KEY BLOCK-----"),
    ("private key", "@pem_rsa", "$ head -30 id_rsa\n-----BEGIN RSA PRIVATE KEY-----\n§\n"),
    ("private key", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}", "# created: 2025-03-01T10:00:00Z\n# public key: age1‹[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}›\nAGE-SECRET-KEY-1§\n"),
    ("private key", "[A-Za-z0-9+/]{43}=", "[Interface]\nAddress = 10.8.0.2/24\nPrivateKey = §\n\n[Peer]\nPublicKey = ‹[A-Za-z0-9+/]{43}›=\n"),
    ("private key", "[A-Za-z0-9_-]{43}", '{"kty": "EC", "crv": "P-256", "x": "‹[A-Za-z0-9_-]{43}›", "y": "‹[A-Za-z0-9_-]{43}›", "d": "§"}'),
    ("wallet", "@mnemonic12", "$ cast wallet new-mnemonic\nSuccessfully generated a new mnemonic.\nPhrase:\n§\n\nAccounts:\n- Account 0:\n"),
    ("wallet", "@mnemonic24", 'MNEMONIC="§"'),
    ("wallet", "@mnemonic12", "module.exports = { accounts: { mnemonic: '§' } }"),
    ("wallet", "@mnemonic12", "Save this seed phrase and your BIP39 passphrase to recover your new keypair:\n§\n====\n"),
    ("wallet", "@mnemonic12", "I wrote the backup down: § - please restore from it."),
    ("wallet", "[0-9a-f]{64}", "Address: 0x‹[0-9a-fA-F]{40}›\nPrivate key: 0x§\n"),
    ("wallet", "[0-9a-f]{64}", "anvil\nPrivate Keys\n==================\n(0) 0x§\n"),
    ("wallet", "[5KL][1-9A-HJ-NP-Za-km-z]{50,51}", "bitcoin-cli dumpprivkey ‹[13][1-9A-HJ-NP-Za-km-z]{33}›\n§\n"),
    ("wallet", "xprv[1-9A-HJ-NP-Za-km-z]{107}", "BIP32 Root Key: §"),
    # JSON web tokens
    ("JWT", "@jwt", "access_token: §"),
    ("JWT", "@jwt", '{"id_token":"§","expires_in":3600}'),
    ("JWT", "@jwt", "localStorage.getItem('t')\n'§'"),
    ("JWT", "@jwt", "GET /ws?token=§ HTTP/1.1"),
    ("JWT", "@jwt", "SUPABASE_SERVICE_ROLE_KEY=§"),
    # Provider tokens
    ("provider token", "@discord", "client.run('§')"),
    ("provider token", "@discord", "DISCORD_TOKEN=§"),
    ("provider token", "sbp_[0-9a-f]{40}", "supabase login --token §"),
    ("provider token", "sb_secret_[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{8}", "const supabase = createClient(url, '§')"),
    ("provider token", "pscale_tkn_[A-Za-z0-9_-]{43}", "pscale --service-token § branch list"),
    ("provider token", "pscale_pw_[A-Za-z0-9_-]{43}", "mysql://u1:§@aws.connect.psdb.cloud/main"),
    ("provider token", "vercel_blob_rw_[A-Za-z0-9]{16}_[A-Za-z0-9]{30}", "BLOB_READ_WRITE_TOKEN=§"),
    ("provider token", "vcp_[A-Za-z0-9]{56}", "vercel --token § deploy"),
    ("provider token", "[A-Za-z0-9]{24}", "vercel deploy --prod --token=§"),
    ("provider token", "sk-lf-" + UUID, 'Langfuse(public_key="pk-lf-1", secret_key="§")'),
    ("provider token", "jina_[0-9a-f]{32}[A-Za-z0-9_-]{28}", "curl https://r.jina.ai/x -H 'Authorization: Bearer §'"),
    ("provider token", "tgp_v1_[A-Za-z0-9_-]{43}", "client = Together(api_key='§')"),
    ("provider token", "csk-[a-z0-9]{48}", "Cerebras(api_key='§')"),
    ("provider token", "NRAK-[A-Z0-9]{27}", "newrelic profile add --apiKey § --region US"),
    ("provider token", "[0-9a-f]{36}NRAL", "license_key: §"),
    ("provider token", "@sentry", "sentry-cli --auth-token § releases list"),
    ("provider token", "sntryu_[0-9a-f]{64}", "[auth]\ntoken=§\n"),
    ("provider token", "rubygems_[0-9a-f]{48}", "---\n:rubygems_api_key: §\n"),
    ("provider token", "sq0atp-[A-Za-z0-9_-]{22}", "Square access: §"),
    ("provider token", "sq0csp-[A-Za-z0-9_-]{43}", "application_secret = §"),
    ("provider token", "EAAA[A-Za-z0-9_-]{60}", 'Client(access_token="§", environment="production")'),
    ("provider token", "PMAK-[0-9a-f]{24}-[0-9a-f]{34}", "postman login --with-api-key §"),
    ("provider token", "tskey-auth-k[A-Za-z0-9]{10}CNTRL-[A-Za-z0-9]{32}", "sudo tailscale up --authkey §"),
    ("provider token", "dp[.]pt[.][A-Za-z0-9]{43}", "doppler run --token § -- npm start"),
    ("provider token", "dp[.]st[.]prd[.][A-Za-z0-9]{43}", "Using service token § (prd)"),
    ("provider token", "LTAI5t[A-Za-z0-9]{18}", "aliyun configure set --access-key-id § --region cn-hangzhou"),
    ("provider token", "sk-ant-api03-[A-Za-z0-9_-]{93}AA", "anthropic.Anthropic(api_key='§')"),
    ("provider token", "sk-ant-oat01-[A-Za-z0-9_-]{93}AA", '{"claudeAiOauth":{"accessToken":"§"}}'),
    ("provider token", "sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}", "openai.error.AuthenticationError: Incorrect API key provided: §."),
    ("provider token", "hf_[A-Za-z]{34}", "huggingface-cli login --token §"),
    ("provider token", "ghp_[A-Za-z0-9]{36}", "I used the token § to push."),
    ("provider token", "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", "gh auth login --with-token <<< §"),
    ("provider token", "ghs_[A-Za-z0-9]{36}", "##[debug] token: §"),
    ("provider token", "glpat-[A-Za-z0-9_-]{20}", "git push https://oauth2:§@gitlab.com/a/b.git"),
    ("provider token", "xoxb-[0-9]{12}-[0-9]{13}-[A-Za-z0-9]{24}", 'app = App(token="§")'),
    ("provider token", "xapp-1-A[A-Z0-9]{10}-[0-9]{13}-[0-9a-f]{64}", "SLACK_APP_TOKEN=§"),
    ("provider token", "(sk|rk)_live_[A-Za-z0-9]{24,99}", "stripe.api_key = '§'"),
    ("provider token", "whsec_[A-Za-z0-9]{32}", "Ready! Your webhook signing secret is § (^C to quit)"),
    ("provider token", "SG[.][A-Za-z0-9_-]{22}[.][A-Za-z0-9_-]{43}", "sg = SendGridAPIClient('§')"),
    ("provider token", "pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{140,160}", "twine upload -u __token__ -p § dist/*"),
    ("provider token", "dckr_pat_[A-Za-z0-9_-]{27}", "docker login -u me --password §"),
    ("provider token", "dop_v1_[0-9a-f]{64}", "doctl auth init -t §"),
    ("provider token", "shpat_[0-9a-f]{32}", "X-Shopify-Access-Token: §"),
    ("provider token", "lin_api_[A-Za-z0-9]{40}", "new LinearClient({ apiKey: '§' })"),
    ("provider token", "ntn_[0-9]{11}[A-Za-z0-9]{35}", "notion = Client(auth='§')"),
    ("provider token", "pat[A-Za-z0-9]{14}[.][0-9a-f]{64}", "airtable: §"),
    ("provider token", "r8_[A-Za-z0-9]{37}", "export REPLICATE_API_TOKEN=§"),
    ("provider token", "gsk_[A-Za-z0-9]{52}", "Groq(api_key='§')"),
    ("provider token", "xai-[A-Za-z0-9]{80}", "the xAI key is §"),
    ("provider token", "pplx-[A-Za-z0-9]{48}", "perplexity § works"),
    ("provider token", "sk-or-v1-[0-9a-f]{64}", 'base_url="https://openrouter.ai/api/v1", api_key="§"'),
    ("provider token", "pcsk_[A-Za-z0-9]{5}_[A-Za-z0-9]{63}", "pc = Pinecone(api_key='§')"),
    ("provider token", "tvly-dev-[A-Za-z0-9]{32}", "TavilyClient('§')"),
    ("provider token", "lsv2_pt_[0-9a-f]{32}_[0-9a-f]{10}", "LANGCHAIN_API_KEY=§"),
    ("provider token", "[0-9]{10}:AA[A-Za-z0-9_-]{33}", "https://api.telegram.org/bot§/getUpdates"),
    ("provider token", "hvs[.][A-Za-z0-9_-]{90,100}", "Key     Value\n---     -----\ntoken   §\n"),
    ("provider token", "[A-Za-z0-9]{14}[.]atlasv1[.][A-Za-z0-9_-]{67}", 'credentials "app.terraform.io" {\n  token = "§"\n}'),
    ("provider token", "glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}", "grafana: §"),
    ("provider token", "ATATT3xFfGF0[A-Za-z0-9_=-]{180}", "jira token §"),
    ("provider token", "dapi[0-9a-f]{32}", "databricks configure --token\nToken: §\n"),
    ("provider token", "fm2_[A-Za-z0-9+/]{100,200}", "fly auth token\nFlyV1 §\n"),
    ("provider token", "[0-9a-f]{32}-us[0-9]{1,2}", "mailchimp.set_config({'api_key': '§'})"),
    ("provider token", "https://[0-9a-f]{32}@o[0-9]{6}[.]ingest[.]sentry[.]io/[0-9]{7}", 'sentry_sdk.init(dsn="§")'),
    # Cloud keys
    ("cloud key", "AKIA[A-Z2-7]{16}", "aws configure set aws_access_key_id §"),
    ("cloud key", "ASIA[A-Z2-7]{16}", '{"Credentials": {"AccessKeyId": "§", "Expiration": "2026-01-01T00:00:00Z"}}'),
    ("cloud key", "[A-Za-z0-9/+]{40}", '{"Credentials": {"SecretAccessKey": "§"}}'),
    ("cloud key", "[A-Za-z0-9/+]{40}", "boto3.client('s3', aws_access_key_id=k, aws_secret_access_key='§')"),
    ("cloud key", "AIza[A-Za-z0-9_-]{35}", "<script src='https://maps.googleapis.com/maps/api/js?key=§'></script>"),
    ("cloud key", "AIza[A-Za-z0-9_-]{35}", "genai.configure(api_key='§')"),
    ("cloud key", "GOCSPX-[A-Za-z0-9_-]{28}", '"client_secret":"§"'),
    ("cloud key", "ya29[.][A-Za-z0-9_-]{120,180}", "$ gcloud auth print-access-token\n§\n"),
    ("cloud key", "[A-Za-z0-9_]{3}8Q~[A-Za-z0-9_~.-]{34}", "az login --service-principal -u app -t tenant -p §"),
    ("cloud key", "[0-9a-f]{32}", "AZURE_OPENAI_API_KEY=§"),
    # E-mail addresses, phone numbers, people and their machines
    ("e-mail", "@email", "Author: Mira Olsen <§>\nDate:   Tue Mar 4 10:11:12 2025 +0100\n"),
    ("e-mail", "@email", 'git config user.email "§"'),
    ("e-mail", "@email", "Please send the invoice to § by Friday."),
    ("e-mail", "@email", '{"to": ["§"], "subject": "Weekly report"}'),
    ("e-mail", "@email", "Co-authored-by: K. Lund <§>"),
    ("e-mail", "@email", "mailto:§?subject=hi"),
    ("e-mail", WORD + "[+]" + WORD + "@gmail[.]com", "Account § already exists"),
    ("e-mail", "@email", "id,name,email\n1,Jo,§\n"),
    ("phone", "[+]1 [(][2-9][0-9]{2}[)] [2-9][0-9]{2}-[0-9]{4}", "Call me at § after five."),
    ("phone", "[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}", "Customer phone: §"),
    ("phone", "[(][2-9][0-9]{2}[)] [2-9][0-9]{2}-[0-9]{4}", "Office: §, ask for Sam"),
    ("phone", "[+]44 20 7[0-9]{3} [0-9]{4}", "tel. §"),
    ("phone", "[+]49 1[57][0-9] [0-9]{7,8}", '{"phone_number": "§"}'),
    ("phone", "[+]33 6 [0-9]{2} [0-9]{2} [0-9]{2} [0-9]{2}", "Mobile § (WhatsApp)"),
    ("phone", "[+]91 [6-9][0-9]{4} [0-9]{5}", "Contact: §"),
    ("phone", "[+]1[2-9][0-9]{2}[2-9][0-9]{6}", 'send_sms {"body": "Your order shipped", "to": "§"}'),
    ("user name", "@user", "$ pwd\n/home/§/projects/shop\n$ ls\n"),
    ("user name", "@user", "  File \"/Users/§/work/api/main.py\", line 12, in <module>\n"),
    ("user name", "@user", "C:\\Users\\§\\AppData\\Local\\Temp\\x.log"),
    ("user name", "@user", '{"cwd": "C:\\\\Users\\\\§\\\\src"}'),
    ("user name", "@user", "cd /mnt/c/Users/§/Documents && ls"),
    ("user name", "@user", "-rw-r--r-- 1 § staff 1024 Mar  4 10:11 notes.txt\ndrwxr-xr-x 5 § staff 160 Mar  4 10:10 src\n"),
    ("user name", "@user", "$ whoami\n§\n"),
    ("user name", "@user", "HOME=/root\nUSER=§\nLOGNAME=x\nSHELL=/bin/zsh\n"),
    ("user name", "@user", "§@laptop:~/src/app$ make test\n"),
    ("user name", "@user", "project key: -Users-§-code-my-app"),
    ("private remote", "([bdfgklmnprstvz][aeiou]){3}-(billing|ledger|pricing)", "$ git remote -v\norigin\tgit@git.‹([bdfgklmnprstvz][aeiou]){3}›.internal:platform/§.git (push)\n"),
    ("private remote", "([bdfgklmnprstvz][aeiou]){3}-(billing|ledger|pricing)", "Cloning into 'app'...\nremote: https://gitlab.‹([bdfgklmnprstvz][aeiou]){3}›.corp/payments/§.git\n"),
]

LOOKALIKES: list[tuple[str, str]] = [
    # Code
    ("code", 'token=request.headers.get("x-token")'),
    ("code", 'password = getpass.getpass("Password: ")'),
    ("code", "api_key = os.environ['OPENAI_API_KEY']"),
    ("code", 'api_key=os.getenv("ANTHROPIC_API_KEY", "")'),
    ("code", "const token = await getToken(user.id);"),
    ("code", "if (password !== confirmPassword) { throw new Error('Passwords differ'); }"),
    ("code", "self.password = password"),
    ("code", "def login(username: str, password: str) -> Token:"),
    ("code", "secret = hashlib.sha256(seed).hexdigest()"),
    ("code", "headers = {'Authorization': f'Bearer {token}'}"),
    ("code", "headers: { Authorization: `Bearer ${accessToken}` }"),
    ("code", "tokens = tokenizer(text, return_tensors='pt')"),
    ("code", "max_tokens=4096, stop_token=tokenizer.eos_token_id"),
    ("code", "pad_token = tokenizer.eos_token"),
    ("code", "private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)"),
    ("code", "cache_key = f\"{user_id}:{page}\""),
    ("code", "auth = HTTPBasicAuth(username, password)"),
    ("code", "password=settings.DB_PASSWORD,"),
    ("code", "token: Optional[str] = None"),
    ("code", "password: Field(min_length=8, max_length=128)"),
    ("code", "assert verify_password(plain, hashed_password)"),
    ("code", "token = self._lexer.next_token()"),
    ("code", "sort(key=lambda x: x.primary_key)"),
    ("code", "obj@other.shape\nresult = A@B.T\nz = x@w.transpose(0, 1)\n"),
    ("code", "@app.route('/login')\n@pytest.mark.parametrize('a', [1])\n@functools.lru_cache(maxsize=None)\n"),
    ("code", "@Override\npublic String getPassword() { return password; }"),
    ("code", "process.env.API_KEY ?? ''"),
    ("code", "password = \"\"\nsecret = None\ntoken = null\n"),
    ("code", "AUTH_TOKEN=${AUTH_TOKEN}\nDB_PASSWORD=$DB_PASSWORD\n"),
    ("code", "password: ${{ secrets.REGISTRY_PASSWORD }}"),
    ("code", "password: {{ .Values.db.password }}"),
    ("code", "password: !vault-ref db/creds"),
    ("code", "self.local()\nself.assertEqual(a, b)\n"),
    ("code", "SELECT password_hash, token_count FROM users WHERE token_count > 100"),
    ("code", "ALTER TABLE users ADD COLUMN password VARCHAR(255) NOT NULL;"),
    ("code", "--password-stdin --token-file /run/token --password-file=pw.txt"),
    ("code", "usage: app [--db-password DB_PASSWORD] [--token TOKEN]"),
    ("code", "parser.add_argument('--password', help='the password', required=True)"),
    ("code", "echo \"$PASSWORD\" | docker login -u \"$USER\" --password-stdin"),
    ("code", "curl -u \"$USER:$PASS\" https://api.github.com/user"),
    ("code", "curl -H \"Authorization: Bearer $TOKEN\" https://api.github.com/user"),
    ("code", "class PasswordResetTokenGenerator:\n    key_salt = 'django.contrib.auth.tokens.PasswordResetTokenGenerator'\n"),
    ("code", "token_type = 'access'\nauth_mode = 'basic'\n"),
    ("code", "secretKeyRef:\n  name: db-credentials\n  key: password\n"),
    ("code", "const sessionCookie = cookies().get('session')"),
    ("code", "for token in tokens: print(token.text, token.pos_)"),
    ("code", "mysql -u root -p shop < dump.sql"),
    ("code", "ssh -p 2222 deploy@host.internal uptime"),
    ("code", "mkdir -p build/output && cp -p src/main.c build/"),
    ("code", "nmap -p 80,443 10.0.0.1"),
    ("code", "docker run -p 8080:80 -u 1000:1000 nginx"),
    ("code", "monkey = 'banana'; keyboard = layout['qwerty']"),
    # Hashes and identifiers
    ("hash", "commit ‹[0-9a-f]{40}›\nMerge: ‹[0-9a-f]{7}› ‹[0-9a-f]{7}›\n"),
    ("hash", "From ‹[0-9a-f]{40}› Mon Sep 17 00:00:00 2001"),
    ("hash", "index ‹[0-9a-f]{10}›..‹[0-9a-f]{10}› 100644"),
    ("hash", "* ‹[0-9a-f]{7}› (HEAD -> main, origin/main) Fix token refresh"),
    ("hash", "‹[0-9a-f]{64}›  dist/app-1.2.3.tar.gz"),
    ("hash", "sha256:‹[0-9a-f]{64}›"),
    ("hash", "Digest: sha256:‹[0-9a-f]{64}›\nStatus: Downloaded newer image for postgres:16"),
    ("hash", '"integrity": "sha512-‹[A-Za-z0-9+/]{86}›==",'),
    ("hash", 'checksum = "‹[0-9a-f]{64}›"'),
    ("hash", "requests==2.32.3 --hash=sha256:‹[0-9a-f]{64}›"),
    ("hash", "github.com/pkg/errors v0.9.1 h1:‹[A-Za-z0-9+/]{43}›="),
    ("hash", "resolved \"https://registry.yarnpkg.com/lodash/-/lodash-4.17.21.tgz#‹[0-9a-f]{40}›\""),
    ("hash", "md5: ‹[0-9a-f]{32}›"),
    ("hash", "ETag: \"‹[0-9a-f]{32}›\""),
    ("hash", "container ‹[0-9a-f]{64}› started"),
    ("hash", "uses: actions/checkout@‹[0-9a-f]{40}› # v4"),
    ("hash", '{"tool_call_id": "call_‹[A-Za-z0-9]{24}›", "role": "tool"}'),
    ("hash", '{"id": "toolu_01‹[A-Za-z0-9]{22}›", "type": "tool_use"}'),
    ("hash", '{"id": "chatcmpl-‹[A-Za-z0-9]{29}›", "object": "chat.completion"}'),
    ("hash", f"request_id: ‹{UUID}›"),
    ("hash", f'{{"uuid": "‹{UUID}›", "parentUuid": "‹{UUID}›"}}'),
    ("hash", f"/tmp/pytest-of-root/‹{UUID}›/test.log"),
    ("hash", "traceparent: 00-‹[0-9a-f]{32}›-‹[0-9a-f]{16}›-01"),
    ("hash", "tree ‹[0-9a-f]{40}›\nparent ‹[0-9a-f]{40}›\n"),
    ("hash", "fingerprint SHA256:‹[A-Za-z0-9+/]{43}›"),
    ("hash", "_build/‹[0-9a-f]{32}›/app.‹[0-9a-f]{8}›.js"),
    ("hash", "video https://www.youtube.com/watch?v=‹[A-Za-z0-9_-]{11}›"),
    # Addresses of chains, public keys
    ("address", "token=0x‹[0-9a-fA-F]{40}›"),
    ("address", "Contract deployed to 0x‹[0-9a-fA-F]{40}›"),
    ("address", "transactionHash: 0x‹[0-9a-f]{64}›"),
    ("address", "bc1q‹[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{38}›"),
    ("address", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI‹[A-Za-z0-9+/]{43}› build@ci"),
    ("address", "age1‹[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}›"),
    ("address", "-----BEGIN CERTIFICATE-----\n‹@pem_rsa›\n-----END CERTIFICATE-----"),
    ("address", "-----BEGIN PUBLIC KEY-----\n‹[A-Za-z0-9+/]{64}›\n-----END PUBLIC KEY-----"),
    ("address", "fe80::‹[0-9a-f]{4}›:‹[0-9a-f]{4}›:fe12:‹[0-9a-f]{4}› dev eth0"),
    ("address", "link/ether 02:42:‹[0-9a-f]{2}›:11:00:02 brd ff:ff:ff:ff:ff:ff"),
    # Text environments
    ("environment text", "You are in the middle of a room. Looking quickly around you, you see a bed 1, a desk 2, a drawer ‹[1-9]›, and a shelf 3."),
    ("environment text", "You pick up the keychain ‹[1-9]› from the coffeetable 1."),
    ("environment text", "take creditcard ‹[1-9]› from dresser 1"),
    ("environment text", "unlock safe with key ‹[1-9]›. The safe is open. The secret drawer is empty."),
    ("environment text", "This room is called the kitchen. In it, you see: a substance called air, a thermometer reading ‹[0-9]{2}› degrees celsius, a glass cup (containing: orange juice)"),
    ("environment text", "focus on thermometer; wait1; look at substance in metal pot"),
    ("environment text", "[Search] [SEP] B0‹[0-9A-Z]{8}› [SEP] Mens Slim Fit Shirt [SEP] $‹[0-9]{2}›.99 to $‹[0-9]{3}›.00"),
    ("environment text", "Instruction: i need a long lasting 6.76 fl oz bottle, and price lower than ‹[0-9]{2}›.00 dollars"),
    ("environment text", "click[b0‹[0-9a-z]{8}›]"),
    ("environment text", "Product: USB Security Key, 2-Pack, Model PK-‹[0-9]{4}›-A, 12 x 8 x 3 inches, ASIN B0‹[0-9A-Z]{8}›, UPC ‹[0-9]{12}›"),
    ("environment text", "Action: search[secret garden perfume password journal lock]"),
    ("environment text", "The password to the wifi is written on the fridge, you think. You look at the fridge."),
    ("environment text", "Thought: I should find the token and the key. Token count is ‹[0-9]{3}›."),
    ("environment text", "Finish[The Basic Instinct: secret agent 1992]"),
    ("environment text", "Rating: 4.6 out of 5, ‹[0-9]{1}›,‹[0-9]{3}› ratings; size 32-34-36; color: midnight-blue"),
    ("environment text", "Task: boil water. Score: ‹[0-9]{2}›. Possible actions: open OBJ, pour OBJ into OBJ2, connect OBJ to OBJ2"),
    ("environment text", "apple banana cherry date elderberry fig grape honeydew kiwi lemon mango nectarine"),
    # Numbers
    ("number", "Total: $‹[0-9]{1}›,‹[0-9]{3}›.‹[0-9]{2}› (order 112-‹[0-9]{7}›-‹[0-9]{7}›)"),
    ("number", "2025-03-0‹[1-9]›T10:11:12.‹[0-9]{6}›Z INFO started"),
    ("number", "epoch ‹[0-9]{10}› loss 0.‹[0-9]{16}›"),
    ("number", "ISBN 978-‹[0-9]›-‹[0-9]{4}›-‹[0-9]{4}›-‹[0-9]›"),
    ("number", "v‹[0-9]›.‹[0-9]{2}›.‹[0-9]› (build 2025.‹[0-9]{4}›.1)"),
    ("number", "tensor([[ 0.‹[0-9]{4}›, -1.‹[0-9]{4}›], [555.123, 4567.0]])"),
    ("number", "inet 192.168.1.‹[1-9]› netmask 255.255.255.0 broadcast 192.168.1.255"),
    ("number", "127.0.0.1:‹[1-9][0-9]{4}› -> 10.0.0.5:443"),
    ("number", "PID ‹[0-9]{5}› RSS ‹[1-9][0-9]{9}› bytes"),
    ("number", "rows 1000-2000-3000, seeds 123-456-7890-1"),
    ("number", "‹[1-9][0-9]{2}› passed, ‹[0-9]› failed in 12.34s"),
    ("number", "chr7:‹[1-9][0-9]{8}›-‹[1-9][0-9]{8}›"),
    ("number", "1e-5 3.14159265358979 2**32 = 4294967296"),
    ("number", "9 8 7 6 5 4 3 2 1 0 10 20 30 40 50"),
    # Packages, paths, places in files
    ("package", "npm install @types/node@20.11.5 @babel/core@^7.24.0"),
    ("package", "├── @vue/compiler-sfc@3.4.21\n└── lodash@4.17.21\n"),
    ("package", "pip install git+https://github.com/psf/requests@v2.32.3"),
    ("package", "image: ghcr.io/org/app:1.2.3@sha256:‹[0-9a-f]{64}›"),
    ("package", "https://site.net/home/page/index.html"),
    ("package", "/usr/lib/python3.11/site-packages/jwt/api_jwt.py:‹[0-9]{3}›"),
    ("package", "node_modules/@aws-sdk/credential-provider-node/dist-cjs/index.js"),
    ("package", "GET /home/products/list?page=2 HTTP/1.1"),
    ("package", "/home/user/app/main.py"),
    ("package", "/home/runner/work/repo/repo/tests/test_tokens.py::test_password_reset PASSED"),
    ("package", "git@github.com:huggingface/transformers.git"),
    ("package", "torch==2.13.0+cu126 torchvision==0.28.0 tokenizers==0.22.1"),
    ("package", "cp src/secrets/password_policy.md docs/"),
    ("package", "fonts/inter-v13-latin-regular.woff2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    # Placeholders
    ("placeholder", "export OPENAI_API_KEY=YOUR_API_KEY"),
    ("placeholder", "api_key = '<your-api-key>'"),
    ("placeholder", "token: xxxxxxxxxxxxxxxx"),
    ("placeholder", "password: ********"),
    ("placeholder", "OPENAI_API_KEY=sk-..."),
    ("placeholder", "Authorization: Bearer <token>"),
    ("placeholder", "postgresql://user:password@localhost/db"),
    ("placeholder", "postgres://USER:PASSWORD@HOST:PORT/NAME"),
    ("placeholder", "https://${USER}:${TOKEN}@github.com/org/repo.git"),
    ("placeholder", "AWS_SECRET_ACCESS_KEY=changeme"),
    ("placeholder", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("placeholder", "secret: [redacted]"),
    ("placeholder", "Your password must contain at least 8 characters."),
    ("placeholder", "The API key: see the settings page. Cookies: accept all?"),
    # Encoded content
    ("encoded", "data:image/png;base64,‹@png›"),
    ("encoded", '{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "‹@jpeg›"}}'),
    ("encoded", '{"image/png": "‹@png›"}'),
    ("encoded", "//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpb‹[A-Za-z0-9]{80}›"),
    ("encoded", "src: url(data:font/woff2;base64,d09GMgABAAAAA‹[A-Za-z0-9+/]{200}›)"),
    ("encoded", "M12 2C6.48 2 2 6.48 2 12s4.48 10 10 10 10-4.48 10-10S17.52 2 12 2zm0 3c1.66 0 3 1.34 3 3"),
    ("encoded", "UklGR‹[A-Za-z0-9+/]{160}›"),
]
# fmt: on


if __name__ == "__main__":
    print(f"seed {SEED}: {len(SECRETS)} secrets, {len(LOOKALIKES)} look-alikes")
    for case in cases(SECRETS, LOOKALIKES):
        print(f"--- {case.kind}: {case.secret!r}\n{case.text}")
