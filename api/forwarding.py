"""Which requests may say that they come from elsewhere: those of configured proxies."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import request
from werkzeug.middleware.proxy_fix import ProxyFix

from jobs.settings import Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FORWARDED_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
    *(f"HTTP_X_FORWARDED_{name}" for name in ("FOR", "HOST", "PORT", "PREFIX", "PROTO", "SSL")),
)


class ForwardedHeaders:
    """WSGI middleware: applies X-Forwarded-… of a trusted proxy, and drops them of all others.

    A proxy must set, not pass on, X-Forwarded-For, -Proto, -Host and, for a path prefix that it
    takes off, -Prefix. The last value of each counts.
    """

    def __init__(self, app: "WSGIApplication", proxies: tuple[Network, ...]) -> None:
        self._app, self._proxies = app, proxies
        self._behind_proxy = ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Run the app with what is true of the request."""
        if self._is_proxy(environ.get("REMOTE_ADDR", "")):
            return self._behind_proxy(environ, start_response)
        for name in FORWARDED_HEADERS:
            environ.pop(name, None)
        return self._app(environ, start_response)

    def _is_proxy(self, text: Any) -> bool:
        if not self._proxies:
            return False
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)  # of a socket for both protocols
        return any((mapped or address) in network for network in self._proxies)


def add_prefix(links: Mapping[str, str]) -> dict[str, str]:
    """Return links to paths of ours as this request's client has to write them."""
    return {name: request.script_root + path for name, path in links.items()}
