"""Whom a job calls beside its tenant's webhooks: webhooks by id, and bare addresses.

Also the form of every address that is called. Knows no store and resolves no name.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, WithJsonSchema

from models.strict_models import LimitErrors

MAX_NOTIFY = 10  # of one job
MAX_URL_CHARACTERS = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}
WEBHOOK_ID_PATTERN = re.compile(r"wh_[a-z0-9]{26}")
PRINTABLE = re.compile(r"[!-~]+")
URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?",
    re.IGNORECASE,
)
MAX_PORT = 65_535
URL_PATTERN = (
    r"https?://([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\])"
    r'(:[0-9]{1,5})?([/?][!"$-\[\]-~]*)?'
)
URL_SCHEMA = {"type": "string", "maxLength": MAX_URL_CHARACTERS, "pattern": f"^{URL_PATTERN}$"}
TARGET_SCHEMA = {**URL_SCHEMA, "pattern": f"^(wh_[a-z0-9]{{26}}|{URL_PATTERN})$"}
TARGET_RULE = "the id of a webhook (wh_…), or an address"


class CalledUrl(NamedTuple):
    """An address in its parts; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """What the header `Host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(text: str) -> CalledUrl:
    """Parse an address that is to be called. Raises ValueError with the rule that it breaks.

    Nothing else parses it again: what was checked is what is called.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise ValueError(f"at most {MAX_URL_CHARACTERS} characters")
    if not PRINTABLE.fullmatch(text) or "\\" in text:
        raise ValueError("printable ASCII without blanks or backslashes (others are encoded)")
    if "#" in text:
        raise ValueError("without a fragment, which is never sent")
    authority = text.partition("://")[2].partition("/")[0].partition("?")[0]
    if "@" in authority:
        raise ValueError("without user and password: messages are signed")
    match = URL.fullmatch(text)
    if match is None:
        raise ValueError("http:// or https://, a host (of other letters as xn--…), at most a port")
    scheme, host = match["scheme"].lower(), match["host"].lower().strip("[]")
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"a port from 1 to {MAX_PORT}")
    rest = match["rest"] or "/"
    return CalledUrl(scheme, host, port, rest if rest.startswith("/") else f"/{rest}")


def check_target(text: str) -> str:
    """Return an entry of `notify`. Raises ValueError with the rule that it breaks."""
    if WEBHOOK_ID_PATTERN.fullmatch(text):
        return text
    if "://" not in text:
        raise ValueError(f"{TARGET_RULE} that begins with http:// or https://")
    parse_url(text)
    return text


def check_unique(targets: list[str]) -> list[str]:
    """Return the entries. Raises ValueError if one is there twice."""
    if len(set(targets)) < len(targets):
        raise ValueError("each once")
    return targets


Target = Annotated[str, AfterValidator(check_target), WithJsonSchema(TARGET_SCHEMA)]
Notify = Annotated[
    list[Target], Field(max_length=MAX_NOTIFY), AfterValidator(check_unique), LimitErrors()
]
