"""Mutants of connections: what a client may hold, for how long, and who it may say that it is."""

from faults.mutants.mutant import Edit, Mutant, edit_once

HELD = "tests/test_api_held_connections.py"
TAKES_NO_THREAD = f"{HELD}::test_held_connections_take_no_thread_that_others_need"
ENDS = f"{HELD}::test_each_held_connection_ends_by_a_deadline"

MUTANTS = (
    Mutant(
        "head-without-a-deadline",
        "a connection whose head never ends is kept for ever",
        edit_once(
            "api/connection_loop.py",
            "            self._enter(conn, Phase.RECEIVING, self._settings.head_seconds)\n"
            "            self._on_readable(conn, peer)\n",
            "            self._enter(conn, Phase.RECEIVING, 1e6)\n"
            "            self._on_readable(conn, peer)\n",
        ),
        (f"{ENDS}[head]",),
    ),
    Mutant(
        "head-read-by-a-thread",
        "a thread waits for a head that has not come",
        (
            Edit("api/connection_loop.py", "if not conn.has_head:", "if not conn.received:"),
            Edit("api/connections.py", "if self.has_head:", "if self.sock:"),
            Edit("api/client_socket.py", "self.begin_request(0.0)", "self.begin_request(1e6)"),
        ),
        (f"{TAKES_NO_THREAD}[head]",),
    ),
    Mutant(
        "body-read-without-a-place",
        "bodies that never come take every thread",
        edit_once(
            "api/held_requests.py",
            "if peer is None or peer.has_body:",
            "if peer is None or not peer.must_close:",
        ),
        (f"{TAKES_NO_THREAD}[json]",),
    ),
    Mutant(
        "refusal-waits-for-the-body",
        "a 401 waits for a body that never comes, and holds a thread",
        edit_once("api/upload_body.py", "with peer.limit_read(0):", "with peer.limit_read(1e6):"),
        (f"{HELD}::test_a_refusal_does_not_wait_for_the_body[-401]",),
    ),
    Mutant(
        "downloads-not-counted",
        "downloads that nobody reads take every thread",
        edit_once(
            "api/held_requests.py",
            "(lambda: None) if is_short else _acquire_transfer(DOWNLOADS_TAKEN)",
            "lambda: None",
        ),
        (f"{TAKES_NO_THREAD}[download]",),
    ),
    Mutant(
        "thread-waits-for-the-reader",
        "a page that nobody reads holds the thread that made it",
        edit_once("api/client_socket.py", "while self.is_held and rest:", "while rest:"),
        (f"{HELD}::test_only_a_request_with_a_place_waits_for_its_reader",),
    ),
    Mutant(
        "write-without-a-deadline",
        "a download that nobody reads keeps its place for ever",
        (
            Edit(
                "api/client_socket.py",
                "if not self._wait(select.POLLOUT, deadline):",
                "if not self._wait(select.POLLOUT, deadline + 1e6):",
            ),
            # the kernel's own deadline, for peers that have vanished
            Edit("api/client_socket.py", "int(2000 * write_seconds)", "int(2e9)"),
        ),
        (f"{ENDS}[download]",),
    ),
    Mutant(
        "oldest-connection-not-closed",
        "idle connections keep new ones out",
        edit_once("api/connection_loop.py", "and not self._close_oldest():", "and self.nr_conns:"),
        (f"{HELD}::test_the_oldest_idle_connection_is_closed_for_a_new_one",),
    ),
    Mutant(
        "one-tenant-has-every-place",
        "one tenant's downloads keep all others from theirs",
        edit_once("api/held_requests.py", " or of_tenant >= max(1, self.limit // 2):", ":"),
        (f"{HELD}::test_one_tenants_transfers_leave_places_to_others",),
    ),
    Mutant(
        "anybody-is-a-proxy",
        "any client may say under which host and path the service is",
        edit_once(
            "api/forwarding.py",
            "        if not self._proxies:\n            return False\n",
            "        if not self._proxies:\n            return True\n",
        ),
        ("tests/test_api_forwarding.py::test_nobody_is_trusted_by_default",),
    ),
)
