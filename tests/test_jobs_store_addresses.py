"""Addresses of store and broker: one meaning for both, refusals at the start, no password."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import cycle, product
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jobs import celery_app
from jobs.errors import InvalidSetting, UnsafeStore
from jobs.settings import Settings
from jobs.store.connection import connect, connection_options, wait_ready
from jobs.store_address import PLAIN_ADDRESS, describe_address
from serving.embedded_store import find_server
from tests.certificates import make_certificate
from tests.needs import needs
from tests.support import process_environment, settings_for
from tests.test_api_server import refusal

PASSWORD = "p@s/s:w%rd ?#é"
USER = "default"
#: (user and password before the host, options): every way to give them
CREDENTIALS = (
    (f":{quote(PASSWORD, safe='')}@", ""),
    (f"{USER}:{quote(PASSWORD, safe='')}@", ""),
    ("", f"password={quote(PASSWORD, safe='')}"),
    ("", f"username={USER}&password={quote_plus(PASSWORD)}"),
    (f"{USER}@", f"password={quote_plus(PASSWORD)}"),
)
OPTIONS = ("", "protocol=2", "protocol=3&health_check_interval=5", "client_name=tickforge")
HOSTS = ("127.0.0.1", "[::1]")
DATABASE = 3


@contextmanager
def running_server(binary: str, *flags: str) -> Iterator[Path]:
    """Run a server with the password on a unix socket, and by these flags on more."""
    folder = Path(tempfile.mkdtemp(prefix="tickforge-", dir="/tmp"))  # a socket's path is short
    path = folder / "s.sock"
    common = ("--dir", str(folder), "--unixsocket", str(path), "--requirepass", PASSWORD)
    process = subprocess.Popen(
        [binary, *common, "--save", "", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        with closing(connect(f"unix://:{quote(PASSWORD, safe='')}@{path}")) as client:
            assert wait_ready(client, 20)
        yield path
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def places() -> Iterator[list[str]]:
    """A server's addresses with {user} before the host and {database} behind it."""
    port = free_port()
    with running_server(str(find_server()), "--port", str(port)) as path:
        tcp = [f"redis://{{user}}{host}:{port}{{path}}?{{options}}" for host in HOSTS]
        yield [*tcp, f"unix://{{user}}{path}?{{options}}"]


def spellings(place: str) -> Iterator[str]:
    """Write an address in every way, with a database by the path or an option."""
    for ((user, credentials), in_path), option in zip(
        product(CREDENTIALS, (True, False)), cycle(OPTIONS), strict=False
    ):
        is_path = in_path and "{path}" in place
        path, database = (f"/{DATABASE}", "") if is_path else ("", f"db={DATABASE}")
        options = "&".join(filter(None, (credentials, option, database)))
        yield place.format(user=user, path=path, options=options).rstrip("?")


def check_wakes(address: str, read: Settings) -> None:
    """Send a wake-up as the API does, and receive it as a worker does."""
    app = celery_app.configure_broker(read)
    celery_app.wake_workers("cpu")
    with closing(connect(address)) as client, app.connection_for_read() as broker:
        queue = broker.SimpleQueue(app.amqp.queues["tickforge.cpu"])
        assert client.llen("tickforge.cpu") == 1, address
        queue.get(timeout=10).ack()
        queue.close()
        assert client.llen("tickforge.cpu") == 0, address


def test_a_broker_gets_messages_at_each_spelling_of_an_address(
    places: list[str], tmp_path: Path
) -> None:
    with closing(connect(next(spellings(places[-1])))) as client:
        for address in (address for place in places for address in spellings(place)):
            read = settings_for(address, tmp_path)
            check_wakes(address, read)
            shown = repr(read) + celery_app.app.connection_for_write().as_uri()
            assert not any(part in shown for part in (PASSWORD, "rd", quote(PASSWORD))), shown
        databases = set(client.info("keyspace"))  # kombu's bindings: where messages were sent
    assert databases == {f"db{DATABASE}"}


@needs("redis-server")
@needs("openssl")
def test_a_broker_gets_messages_over_tls(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    port, binary = free_port(), shutil.which("redis-server")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    flags = ("--port", "0", "--tls-port", str(port), *files, "--tls-ca-cert-file", str(certificate))
    place = f"rediss://:{quote(PASSWORD, safe='')}@localhost:{port}/{DATABASE}"
    client = f"ssl_certfile={certificate}&ssl_keyfile={key}"
    with running_server(str(binary), *flags):
        for verification in (f"ssl_ca_certs={certificate}", "ssl_cert_reqs=none"):
            address = f"{place}?{client}&{verification}"
            check_wakes(address, settings_for(address, tmp_path))
        with closing(connect(f"{place}?{client}")) as unverified:
            assert not wait_ready(unverified, 0), "a certificate of nobody known was accepted"


REFUSED = (
    ("http://h", "redis://, rediss:// or unix://"),
    ("REDIS://h", "redis://, rediss:// or unix://"),
    ("redis:/h", "redis://, rediss:// or unix://"),
    ("redis://", "where the server is"),
    ("unix://relative/path", "three slashes"),
    ("unix:relative", "redis://, rediss:// or unix://"),
    ("redis://h/name", "the number of a database"),
    ("redis://h/3/4", "the number of a database"),
    ("redis://h/3?db=3", "db is given twice"),
    ("redis://h?db=1&db=2", "db is given twice"),
    ("redis://:a@h?password=b", "password is given twice"),
    ("redis://h?db=", "db is a number"),
    ("redis://h?db=-1", "db is a number"),
    ("redis://h?protocol=4", "protocol is 2 or 3"),
    ("redis://h?socket_timeout=60", "timeouts and retries are the service's own"),
    ("redis://h?decode_responses=true", "the options after \\? are db, "),
    ("redis://h?virtual_host=2", "the options after \\? are db, "),
    ("redis://h?ssl_cert_reqs=none", "for rediss:// alone"),
    ("rediss://h?ssl_cert_reqs=CERT_NONE", "none, optional or required"),
    ("rediss://h?ssl_ca_certs=/nowhere/ca.crt", "the path of a file"),
    ("redis://h:port", "host and port are not readable"),
    ("redis://h:99999", "host and port are not readable"),
    ("redis://h /0", "spaces"),
    ("redis://h/0\n", "spaces"),
    ("redis://h#3", "%23"),
)


@pytest.mark.parametrize("variable", ["TICKFORGE_REDIS_URL", "TICKFORGE_BROKER_URL"])
def test_an_address_that_is_not_read_whole_is_refused(variable: str) -> None:
    for address, rule in REFUSED:
        environment = {"TICKFORGE_REDIS_URL": "unix:///store", variable: address}
        with pytest.raises(InvalidSetting, match=f"{variable}=.*{rule}"):
            Settings.from_env(environment)


SECRET = "hunter2"


def test_an_address_of_artifacts_that_is_refused_shows_no_secret() -> None:
    for address in (f"s3://key:{SECRET}@bucket", f"s3://bucket?secret={SECRET}"):
        environment = {"TICKFORGE_REDIS_URL": "unix:///s", "TICKFORGE_ARTIFACTS_URL": address}
        with pytest.raises(InvalidSetting, match="ARTIFACTS_URL='s3://…'") as refusal:
            Settings.from_env(environment)
        assert SECRET not in str(refusal.value)


SEPARATORS = st.sampled_from(["", *":/?#@[]&=%;+, é", "://", "%2F", "\n"])


@settings(phases=[Phase.generate])
@given(
    before=SEPARATORS, after=SEPARATORS, tail=SEPARATORS,
    start=st.sampled_from(["redis://", "rediss://u", "unix://", "redis://u:", "http://u:"]),
    end=st.sampled_from(["", "@h", "@h:1/0", "@/s.sock", "?db=1", "@h?protocol=3"]),
    wrap=st.sampled_from([str, lambda text: f"u:{text}@h", lambda text: f"h?password={text}",
                          lambda text: f"/s.sock?username={text}&db=x"]),
)  # fmt: skip
def test_no_error_and_no_log_line_shows_a_password(
    start: str, before: str, after: str, tail: str, end: str, wrap: Callable[[str], str]
) -> None:
    address = f"{start}{wrap(f'{before}{SECRET}{after}{SECRET}{tail}')}{end}"
    try:
        read = Settings.from_env({"TICKFORGE_REDIS_URL": address})
    except InvalidSetting as error:
        is_host = PLAIN_ADDRESS.fullmatch(address)
        assert is_host or SECRET not in str(error) + repr(error)
        return
    options = connection_options(address)
    place = str([options.get(name) for name in ("host", "path")])
    if SECRET in place:
        return  # the name of the server, or its path: no password
    shown = [describe_address(address), celery_app.kombu_url(address), repr(read)]
    assert SECRET not in "".join(shown), address


@pytest.mark.parametrize("variable", ["TICKFORGE_REDIS_URL", "TICKFORGE_BROKER_URL"])
@pytest.mark.parametrize("options", [f"password={SECRET}", "", "db=9999&password={right}"])
def test_a_wrong_password_and_database_end_the_start(
    places: list[str], variable: str, options: str, store_server: str, tmp_path: Path
) -> None:
    options = options.format(right=quote(PASSWORD, safe=""))
    address = places[-1].format(user="", options=options).rstrip("?")
    with closing(connect(address)) as client, pytest.raises(UnsafeStore, match="refuses"):
        wait_ready(client, 10, variable=variable)
    if options.startswith("db") and "BROKER" in variable:
        environment = process_environment(store_server, tmp_path, **{variable: address})
        line = refusal(**environment)
        assert variable in line and "refuses this address" in line
        assert SECRET not in line and PASSWORD not in line and options not in line
