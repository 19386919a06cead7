"""The providers of buckets: Amazon and what speaks its protocol, Google, Microsoft. Everything that differs between them is in `PROVIDERS`.
Credentials and endpoints come from environment variables only, with the names that the providers' own tools use.
"""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from tratree_data.errors import BadInputError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
RETRIES, RETRY_SECONDS, REQUEST_SECONDS, CONNECT_SECONDS = 7, 60, 120, 10
"""Seven tries with growing pauses take some seconds; a request may take long, because a file may be big."""


@dataclass(frozen=True)
class Provider:
    """What a scheme such as `s3://` means."""

    credentials: tuple[str, ...]
    """One of these must be set; without any, the client would spend a long time looking for a cloud machine's own role."""
    example: str
    """What to type so that the environment contains credentials."""
    prefix: str
    """The prefix of all variables that the client reads."""
    endpoints: tuple[str, ...] = ()
    """Variables that name a server other than the provider's own."""
    emulator: str = ""
    """A variable that selects the provider's emulator on this machine."""
    options: dict[str, str] = field(default_factory=dict)
    """Options that make every commit of the client conditional."""
    counts_from_end: bool = True
    """Whether a request may ask for the last bytes of an object whose size is unknown."""


PROVIDERS = {
    "s3": Provider(
        credentials=(
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_SKIP_SIGNATURE",
        ),
        example="export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_REGION=…",
        prefix="AWS_",
        endpoints=("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
        options={"aws_conditional_put": "etag"},
    ),
    "gs": Provider(
        credentials=(
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_SKIP_SIGNATURE",
        ),
        example="export GOOGLE_APPLICATION_CREDENTIALS=FILE",
        prefix="GOOGLE_",
    ),
    "az": Provider(
        credentials=("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_USE_EMULATOR"),
        example="export AZURE_STORAGE_ACCOUNT_NAME=… AZURE_STORAGE_ACCOUNT_KEY=…",
        prefix="AZURE_",
        endpoints=("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURITE_BLOB_STORAGE_URL"),
        emulator="AZURE_STORAGE_USE_EMULATOR",
        counts_from_end=False,
    ),
}
"""By the scheme of their addresses."""


def provider_of(address: object) -> Provider:
    return PROVIDERS[str(address).partition(":")[0]]


def need_credentials(address: object) -> None:
    """Before anything is sent: the environment must name credentials, and must not send them unencrypted."""
    provider = provider_of(address)
    if not any(os.environ.get(name) for name in provider.credentials):
        raise BadInputError(f"{address} needs credentials, and the environment contains none.\nNext: {provider.example}")
    for name in provider.endpoints:
        endpoint = urlsplit(os.environ.get(name, ""))
        if endpoint.scheme == "http" and endpoint.hostname not in LOOPBACK:
            raise BadInputError(
                f"{name} is an http address ({endpoint.hostname}), and only this machine may be reached without encryption.\n"
                f"Next: export {name}=https://…"
            )


def _plain_http(provider: Provider) -> bool:
    """Whether unencrypted requests are allowed: only to this machine, as `need_credentials` makes sure."""
    plain = any(os.environ.get(name, "").startswith("http:") for name in provider.endpoints)
    return plain or bool(provider.emulator and os.environ.get(provider.emulator))


def delta_options(address: object) -> dict[str, str]:
    """What Delta's client needs to know beyond the environment."""
    need_credentials(address)
    provider = provider_of(address)
    return {
        "allow_http": str(_plain_http(provider)).lower(),
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_SECONDS}s",
        "timeout": f"{REQUEST_SECONDS}s",
        "connect_timeout": f"{CONNECT_SECONDS}s",
        **provider.options,
    }


def client_of(address: object) -> Any:
    """The client of the bucket that contains an address."""
    need_credentials(address)
    provider = provider_of(address)
    root = "/".join(str(address).split("/")[:3])
    named = {name: value for name, value in os.environ.items() if name.startswith(provider.prefix)}
    return _client(root, _plain_http(provider), tuple(sorted(named.items())))


@lru_cache(maxsize=16)
def _client(root: str, allow_http: bool, environment: tuple[tuple[str, str], ...]) -> Any:
    """One for each bucket and environment: a client keeps its connections, and renews what expires."""
    from datetime import timedelta

    from obstore.store import from_url

    open_bucket: Any = from_url  # its overloads expect one call per provider
    options = provider_of(root).options
    return open_bucket(
        root,
        client_options={
            "allow_http": allow_http,
            "timeout": timedelta(seconds=REQUEST_SECONDS),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        **({"config": dict(options)} if options else {}),
    )
