"""The proxy before the store: what goes through it, and each way in which nothing does."""

import hashlib
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import ConnectionError, TimeoutError

from faults.proxy import NetworkCondition, Proxy, ScriptBreakpoint
from faults.store_server import StoreServer, running_store
from jobs.store.connection import connect

SCRIPT = "return redis.call('INCR', 'ran')"
SHA = hashlib.sha1(SCRIPT.encode()).hexdigest().encode()


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with running_store() as running:
        client = connect(running.url)
        client.script_load(SCRIPT)
        client.close()
        yield running


@pytest.fixture
def proxy(server: StoreServer) -> Iterator[Proxy]:
    with Proxy(server.socket) as between:
        yield between


@pytest.fixture
def through(proxy: Proxy) -> Iterator["redis.Redis"]:
    """A client that gives up after a while and asks nothing twice."""
    client = redis.Redis.from_url(proxy.url, socket_timeout=1.5, retry=None)
    client.set("ran", 0)
    yield client
    client.close()


@pytest.fixture
def direct(server: StoreServer) -> Iterator["redis.Redis"]:
    client = connect(server.url)
    yield client
    client.close()


def test_a_good_network_carries_everything(through: "redis.Redis", direct: "redis.Redis") -> None:
    value = bytes(range(256)) * 10_000
    through.set("large", value)
    assert through.get("large") == direct.get("large") == value


def test_a_lost_reply_is_of_a_script_that_ran(
    proxy: Proxy, through: "redis.Redis", direct: "redis.Redis"
) -> None:
    set_ = proxy.add_breakpoint(ScriptBreakpoint("reply", sha=SHA))
    with pytest.raises(ConnectionError):
        through.evalsha(SHA.decode(), 0)
    assert set_.hit.is_set() and direct.get("ran") == b"1"


def test_a_lost_request_is_of_a_script_that_did_not_run(
    proxy: Proxy, through: "redis.Redis", direct: "redis.Redis"
) -> None:
    proxy.add_breakpoint(ScriptBreakpoint("request", nth=2))
    through.evalsha(SHA.decode(), 0)
    with pytest.raises(ConnectionError):
        through.evalsha(SHA.decode(), 0)
    assert direct.get("ran") == b"1"


def test_a_swallowed_reply_makes_a_client_wait(proxy: Proxy, through: "redis.Redis") -> None:
    proxy.add_breakpoint(ScriptBreakpoint("swallow"))
    with pytest.raises(TimeoutError):
        through.evalsha(SHA.decode(), 0)


def test_a_reply_is_cut_inside(proxy: Proxy, through: "redis.Redis", direct: "redis.Redis") -> None:
    proxy.add_breakpoint(ScriptBreakpoint("inside"))
    with pytest.raises(ConnectionError):
        through.evalsha(SHA.decode(), 0)
    assert direct.get("ran") == b"1"


def test_a_breakpoint_is_hit_once(proxy: Proxy, through: "redis.Redis") -> None:
    proxy.add_breakpoint(ScriptBreakpoint("reply"))
    with pytest.raises(ConnectionError):
        through.evalsha(SHA.decode(), 0)
    assert through.evalsha(SHA.decode(), 0) == 2


def test_the_action_of_a_breakpoint_comes_before_the_reply_is_lost(
    proxy: Proxy, through: "redis.Redis", direct: "redis.Redis"
) -> None:
    proxy.add_breakpoint(
        ScriptBreakpoint("reply", action=lambda: direct.set("seen", direct.get("ran") or b""))
    )
    with pytest.raises(ConnectionError):
        through.evalsha(SHA.decode(), 0)
    assert direct.get("seen") == b"1"


@pytest.mark.parametrize(("way", "ran"), [("deaf", b"0"), ("mute", b"1")])
def test_a_direction_is_closed_and_opens_again(
    proxy: Proxy, through: "redis.Redis", direct: "redis.Redis", way: str, ran: bytes
) -> None:
    proxy.set_condition(NetworkCondition(drop_requests=way == "deaf", drop_replies=way == "mute"))
    with pytest.raises(TimeoutError):
        through.evalsha(SHA.decode(), 0)
    assert direct.get("ran") == ran
    proxy.set_condition()
    proxy.cut_links()
    assert through.ping()


def test_a_network_condition_holds_for_the_peers_that_it_names(
    proxy: Proxy, through: "redis.Redis"
) -> None:
    proxy.set_condition(
        NetworkCondition(ports=lambda _port: False, drop_requests=True, refuse_connections=True)
    )
    assert through.ping()


def test_a_network_that_refuses_lets_no_connection_in(proxy: Proxy, through: "redis.Redis") -> None:
    proxy.set_condition(NetworkCondition(refuse_connections=True))
    proxy.cut_links()
    with pytest.raises(ConnectionError):
        through.ping()


def test_a_slow_network_keeps_the_order(proxy: Proxy, through: "redis.Redis") -> None:
    proxy.set_condition(NetworkCondition(delay=0.05))
    with through.pipeline(transaction=False) as pipe:
        for number in range(50):
            pipe.echo(str(number))
        assert pipe.execute() == [str(number).encode() for number in range(50)]


def test_cut_connections_are_made_anew(proxy: Proxy, through: "redis.Redis") -> None:
    assert proxy.cut_links() == 1
    assert through.ping()
    assert proxy.cut_links() == 1
