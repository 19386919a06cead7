"""Errors of buckets, rephrased: a server's own texts contain addresses, and addresses may contain keys."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tratree_data.errors import NotFoundError, TratreeError
from tratree_data.store.buckets.bucket_providers import provider_of

REFUSED = "the credentials are refused"
ADVICE = {
    "NoSuchBucket": ("the bucket does not exist", "create it, or check the name, AWS_REGION and AWS_ENDPOINT_URL"),
    "ContainerNotFound": ("the container does not exist", "create it, or check the name"),
    "ExpiredToken": ("the credentials have expired", "renew them in the environment, then run the same command"),
    "InvalidAccessKeyId": (REFUSED, "check them in the environment"),
    "SignatureDoesNotMatch": (REFUSED, "check them in the environment"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "export AWS_REGION=…"),
    "PermanentRedirect": ("the bucket is in another region", "export AWS_REGION=…"),
    "RequestTimeTooSkewed": ("this machine's clock is too far from the server's", "set the clock, then run the same command"),
    "SlowDown": ("the server asks to slow down", "run the same command in a few minutes"),
}
"""By the code in a server's answer: what it means, and what to do next."""
FOREIGN = re.compile(
    r"Generic \w+ error|error sending request|Error performing \w+|Object at location|Unauthenticated|credential", re.IGNORECASE
)
"""How the client's own texts begin when Delta passes them on."""


@contextmanager
def explained(path: object) -> Iterator[None]:
    """Rephrases what the client raises; a missing object stays a FileNotFoundError."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if re.search("NoSuchBucket|ContainerNotFound", str(error)):
            raise explain(path, error) from error
        raise FileNotFoundError(str(path)) from error
    except BaseError as error:
        raise explain(path, error) from error


def explain(path: object, error: Exception | str) -> TratreeError:
    """Repeats nothing of the request, only the server's code for what went wrong."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+)", text)
    named = (code[1] if code else "") or (status[1] if status else "")
    if named in ADVICE:
        what, advice = ADVICE[named]
    elif status and status[1] in ("401", "403"):
        what, advice = "access is denied", "check the credentials in the environment and the bucket's permissions"
    elif status and status[1] in ("404",):
        what, advice = ADVICE["NoSuchBucket"]
    elif status or "server error" in text.lower():
        what, advice = "the server failed", "run the same command again"
    elif re.search("credential|unauthenticated|private key", text, re.IGNORECASE):
        what, advice = "the credentials in the environment cannot be used", provider_of(path).example
    else:
        what = "it cannot be reached"
        advice = " and ".join(["check the network", *provider_of(path).endpoints[:1]]) + ", then run the same command"
    kind = NotFoundError if named in ("NoSuchBucket", "ContainerNotFound", "404") else TratreeError
    return kind(f"{path}: {what}{f' ({named})' if named else ''}.\nNext: {advice}")


def comes_from_client(error: Exception) -> bool:
    """Whether an error that Delta raised is about reaching the bucket rather than about the table."""
    return FOREIGN.search(str(error)) is not None
