"""What clients and the machine request of a running job, as last read from the store.

Requests arrive with the reply of each append; the heartbeat sees a cancel on its own, so that it
reaches a trainer that is stuck inside a chunk. Knows no store.
"""

from jobs.ledger.claims import Claim
from jobs.ledger.owner import AppendResult
from workers.drain import Drain


class ClientRequests:
    """The latest requests for one claimed job."""

    def __init__(self, claim: Claim, drain: Drain) -> None:
        self._first_new_tick, self._drain = claim.tick, drain
        self.client_action: str | None = claim.requested  # cancel, pause or stop
        self.has_checkpoint_request = False

    @property
    def action(self) -> str | None:
        """Return the client's action or, if there is none, "drain" when the worker must leave."""
        return self.client_action or ("drain" if self._drain.is_requested else None)

    def wants_checkpoint_at(self, tick: int) -> bool:
        """Return whether a client waits for the checkpoint of this tick; never during a replay."""
        return self.has_checkpoint_request and tick >= self._first_new_tick

    def update(self, result: AppendResult) -> None:
        """Take the requests that came with the reply to an append."""
        self.client_action = result.requested
        self.has_checkpoint_request = result.checkpoint_requested
