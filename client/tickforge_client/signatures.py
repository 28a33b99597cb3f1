"""Verifies the messages of webhooks, as Standard Webhooks signs them. Opens no connection."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tickforge_client.errors import InvalidWebhook

#: seconds by which the time of a message may differ from this machine's
TOLERANCE_SECONDS = 300.0
SECRET_PREFIX, VERSION = "whsec_", "v1"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]],
    secret: str | bytes,
    *,
    now: float | None = None,
) -> Any:
    """Return the JSON of a webhook's message, once its signature and its time are right.

    `body`: the exact bytes of the request, before any parsing. `headers`: of any case, a mapping or
    pairs, as a request of Flask or of ASGI has them. `secret`: whsec_…, as the webhook's creation
    or rotation showed it. Of several signatures, as during a rotation, one must be right. Raises
    InvalidWebhook, which says what is wrong, also of arguments of other kinds.
    """
    if not isinstance(body, str | bytes | bytearray | memoryview):
        raise InvalidWebhook(f"its body is {_kind(body)}: the bytes that came are needed, unparsed")
    content = _to_bytes(body) if isinstance(body, str) else bytes(body)
    given = _read_headers(headers)
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not given.get(name)]
    if missing:
        raise InvalidWebhook(f"without the header {missing[0]}: not from a webhook of Tickforge")
    _check_time(given[TIMESTAMP], time.time() if now is None else now)
    signed = _to_bytes(f"{given[ID]}.{given[TIMESTAMP]}.") + content
    expected = base64.b64encode(hmac.digest(_decode_secret(secret), signed, "sha256"))
    if not _has_signature(given[SIGNATURE], expected):
        raise InvalidWebhook("its signature is not by this secret over these bytes")
    try:
        return json.loads(content)
    except ValueError as error:
        raise InvalidWebhook(f"it is signed and no JSON ({error})") from error


def _read_headers(headers: Any) -> dict[str, str]:
    """Return the headers that are needed, by their names in small letters."""
    given: dict[str, str] = {}
    try:
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            if (key := str(_to_text(name)).lower()) in (ID, TIMESTAMP, SIGNATURE):
                text = _to_text(value)
                if text is None:
                    raise InvalidWebhook(f"its header {key} is {_kind(value)}: no text")
                given[key] = text
    except (TypeError, ValueError) as error:
        rule = f"its headers are {_kind(headers)}: a mapping, or pairs of a name and a text"
        raise InvalidWebhook(rule) from error
    return given


def _to_text(value: Any) -> str | None:
    """Return a text, or bytes as HTTP's headers have them; None for anything else."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None


def _to_bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # different texts stay different


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"


def _check_time(text: str, now: float) -> None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise InvalidWebhook(f"{TIMESTAMP} {text[:40]!r} is no time in seconds")
    difference = now - int(text)
    if abs(difference) > TOLERANCE_SECONDS:
        words = "before" if difference > 0 else "after"
        raise InvalidWebhook(
            f"it is of {abs(difference):.0f} s {words} this machine's time; up to "
            f"{TOLERANCE_SECONDS:.0f} s are accepted: it is sent again, or a clock is wrong"
        )


def _decode_secret(secret: str | bytes) -> bytes:
    text = _to_text(secret)
    if text is None:
        raise InvalidWebhook(f"the secret is {_kind(secret)}: it is whsec_ and base64, a text")
    try:
        key = base64.b64decode(text.strip().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise InvalidWebhook("the secret is not whsec_ and base64, as its webhook showed it")
    return key


def _has_signature(header: str, expected: bytes) -> bool:
    """Return whether one of `v1,… v1,…` is the expected one; each takes the same time."""
    is_right = False
    for entry in header.split(" "):
        version, _, signature = entry.partition(",")
        if version == VERSION:
            is_right |= hmac.compare_digest(_to_bytes(signature), expected)
    return is_right
