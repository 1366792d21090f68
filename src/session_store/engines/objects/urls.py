"""What a URL of an object store says, and what it must not say.

Pure. Keys and secrets stay in the environment, where the client library looks for them: a URL is
written into logs, shells and error reports.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from session_store.errors import ConfigError

MAX_PREFIX_BYTES: Final = 100

VARIABLES: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""The environment variables that hold what proves who one is."""

_KNOWN: Final = {"s3": {"endpoint", "region"}, "gs": {"endpoint"}, "az": {"endpoint"}}
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._=@+-]+(/[A-Za-z0-9._=@+-]+)*")


@dataclass(frozen=True)
class Place:
    """Where a store lies: a bucket of a service, and what all names in it begin with."""

    scheme: str
    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @property
    def variables(self) -> str:
        """The environment variables that this service's credentials are read from."""
        return VARIABLES[self.scheme]

    @property
    def url(self) -> str:
        """The URL that says the same."""
        path = f"/{self.prefix}" if self.prefix else ""
        said = {"endpoint": self.endpoint, "region": self.region}
        query = urlencode({name: value for name, value in said.items() if value}, safe=":/")
        return f"{self.scheme}://{self.bucket}{path}{'?' if query else ''}{query}"


def parse_url(url: str) -> Place:
    """Return the place that a URL names, or raise `ConfigError` without repeating it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        scheme = url.partition(":")[0]
        raise ConfigError("url", f"it names a bucket, as in {scheme}://bucket/prefix") from None
    scheme = parts.scheme
    if parts.username is not None or parts.password is not None:
        raise _credentials(scheme)
    # Not `hostname`, which folds the case.
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError("url", f"it names a bucket, as in {scheme}://bucket/prefix")
    if prefix and (not _PREFIX.fullmatch(prefix) or _steps(prefix)):
        raise ConfigError("url", "a prefix is letters, digits and ._=@+- between single slashes")
    if len(prefix) > MAX_PREFIX_BYTES:
        raise ConfigError("url", f"a prefix has at most {MAX_PREFIX_BYTES} bytes")
    if parts.fragment:
        raise ConfigError("url", "nothing may follow a #")
    said = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(said)
    for name in options:
        if name not in _KNOWN[scheme]:
            if re.search("key|secret|token|pass|sign|cred|sas", name, re.IGNORECASE):
                raise _credentials(scheme)
            raise ConfigError("url", f"behind the ? it may say {' and '.join(_KNOWN[scheme])}")
    if len(said) != len(options) or "" in options.values():
        raise ConfigError("url", "what is said behind the ? is said once, and not empty")
    endpoint = options.get("endpoint")
    return Place(
        scheme, bucket, prefix, endpoint and _endpoint(endpoint, scheme), options.get("region")
    )


def _steps(prefix: str) -> bool:
    return not {".", ".."}.isdisjoint(prefix.split("/"))


def _endpoint(endpoint: str, scheme: str) -> str:
    try:
        parts = urlsplit(endpoint)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError("url", "its endpoint is no URL") from None
    if parts.username is not None or parts.password is not None:
        raise _credentials(scheme)
    if not whole or parts.query or parts.fragment:
        raise ConfigError("url", "an endpoint is http://host:port or https://host:port")
    return endpoint.rstrip("/")


def _credentials(scheme: str) -> ConfigError:
    names = VARIABLES.get(scheme, VARIABLES["s3"])
    return ConfigError("url", f"credentials do not belong in a URL: set {names} in the environment")
