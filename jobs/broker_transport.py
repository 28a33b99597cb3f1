"""The transport of Celery's messages: kombu's for Redis, on the connections that redis-py makes.

kombu reads an address by rules of its own: options after `?` are a TypeError in redis:// and are
ignored in redis+socket://, the database and the password among them. Here an address means what it
means for the store: redis-py reads it.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

#: of a broker's URL with this transport
SCHEME = "store"
#: the transport option that holds the address; kombu makes it an attribute of each channel
ADDRESS_OPTION = "address_options"


class AddressChannel(kombu_redis.Channel):
    """A channel whose connections are those of `address_options`, not of the broker's URL."""

    from_transport_options = (  # type: ignore[assignment]
        *kombu_redis.Channel.from_transport_options, ADDRESS_OPTION,
    )  # fmt: skip
    address_options: dict[str, Any]

    @property
    def connection_class(self) -> Any:  # type: ignore[override]
        """The class of redis-py for TCP or TLS; kombu has its own for a unix socket."""
        return self.address_options["connection_class"]

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        # kombu's own, of a URL with neither user nor options: timeouts, and its connection class
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        options = {**self.address_options, "connection_class": params["connection_class"]}
        return {**params, **options}


class AddressTransport(kombu_redis.Transport):
    """kombu's transport with these channels."""

    Channel = AddressChannel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:{AddressTransport.__name__}"
