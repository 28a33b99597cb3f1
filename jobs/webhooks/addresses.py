"""Which addresses may be called: those of the public internet, and what the operator allows.

A name is resolved here, every address is checked, and the caller connects to one that was checked:
so a name that resolves otherwise a moment later opens nothing.
"""

import socket
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, SimpleQueue

from jobs.settings import Network
from jobs.spec.notify import CalledUrl, parse_url

IPAddress = IPv4Address | IPv6Address
MAX_RESOLVE_SECONDS = 2.0  # while a request waits
SETTING = "TICKFORGE_WEBHOOK_ALLOW"
#: networks whose addresses have one of IPv4 in their last 32 bits
EMBEDDING_NETWORKS = (
    IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"),
    IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"),
)  # fmt: skip
#: of the registries of special addresses, what `ipaddress` of Python 3.11 takes for public: an old
#: site, a network's own translation, documents, segment routing, relays that nobody runs any more
NOT_PUBLIC_NETWORKS = tuple(
    ip_network(text)
    for text in ("fec0::/10", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "192.88.99.0/24")
)


class RefusedAddress(Exception):
    """An address that must not be called; the text says which, and why."""


class AddressRules:
    """What may be called though it is not public: hosts by name, addresses by network."""

    def __init__(self, hosts: Collection[str] = (), networks: Sequence[Network] = ()) -> None:
        self._hosts, self._networks = frozenset(hosts), networks

    def check_addresses(self, host: str, addresses: Sequence[str]) -> None:
        """Raise RefusedAddress unless each address that a host resolves to may be called."""
        if host.removesuffix(".") in self._hosts:
            return
        for text in addresses:
            address = ip_address(text.partition("%")[0])
            if not is_public(address) and not self._is_allowed(address):
                shown = host if host == text else f"{host} ({text})"
                raise RefusedAddress(
                    f"{shown} is no public address; {SETTING} lists others that may be called"
                )

    def check_url(self, text: str) -> CalledUrl:
        """Parse an address and check what it resolves to now.

        A name that does not resolve passes: each try resolves it again. Raises ValueError.
        """
        url = parse_url(text)
        try:
            self.check_addresses(url.host, resolve_soon(url.host, url.port))
        except RefusedAddress as error:
            raise ValueError(str(error)) from None
        return url

    def _is_allowed(self, address: IPAddress) -> bool:
        forms = [address, *_embedded(address)]
        return any(form in network for network in self._networks for form in forms
                   if form.version == network.version)  # fmt: skip


def is_public(address: IPAddress) -> bool:
    """Whether an address, and one of IPv4 that is embedded in it, is of the public internet."""
    if any(address in network for network in NOT_PUBLIC_NETWORKS):
        return False
    if embedded := _embedded(address):
        return all(map(is_public, embedded))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPAddress) -> list[IPAddress]:
    """Return the addresses of IPv4 that a gateway or the kernel may make of one of IPv6."""
    if isinstance(address, IPv4Address):
        return []
    inner: list[IPAddress] = []
    if any(address in network for network in EMBEDDING_NETWORKS):
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner += address.teredo
    return inner


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, each once, in the order of the resolver. Raises OSError."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def resolve_soon(host: str, port: int) -> list[str]:
    """Return what a host resolves to within two seconds; nothing if it does not."""
    result: SimpleQueue[list[str]] = SimpleQueue()

    def look_up() -> None:
        with suppress(OSError, UnicodeError):
            result.put(resolve(host, port))
        result.put([])

    threading.Thread(target=look_up, daemon=True).start()
    try:
        return result.get(timeout=MAX_RESOLVE_SECONDS)
    except Empty:
        return []
