"""Signs messages as Standard Webhooks has it: HMAC-SHA256 over id, time and the exact body."""

import base64
import hmac
import secrets
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32


def make_secret() -> str:
    """Make a webhook's secret: `whsec_` and the base64 of 256 random bits."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(webhook_secrets: Sequence[str], message_id: str, seconds: int, body: bytes) -> str:
    """Return the header `webhook-signature`: a `v1,…` for each secret, single blanks between."""
    signed = f"{message_id}.{seconds}.".encode() + body
    return " ".join("v1," + _sign_once(secret, signed) for secret in webhook_secrets)


def _sign_once(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
