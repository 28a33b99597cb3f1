"""Outcomes of calls on ledger and model, as values that can be compared: results and errors."""

from collections.abc import Callable
from typing import Any

from jobs import errors

REFUSALS = (
    errors.TickMismatch, errors.NotAccepted, errors.LeaseLost, errors.TickGap,
    errors.IdempotentResultDeleted, errors.NoSuchJob, errors.IdempotencyMismatch,
    errors.IllegalTransition, errors.NotTerminal, errors.WrongFinalTick,
)  # fmt: skip
Call = tuple[Callable[[], Any], Callable[[], Any]]


def call_outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """Return "ok" and the result of a call, or the name and details of its error."""
    try:
        return "ok", call()
    except REFUSALS as refusal:
        return type(refusal).__name__, _refusal_details(refusal)


def _refusal_details(refusal: Exception) -> Any:
    """Return the details of an error."""
    match refusal:
        case errors.TickGap() | errors.WrongFinalTick():
            return refusal.tick
        case errors.TickMismatch():
            return refusal.tick, refusal.column, refusal.recorded, refusal.offered
        case errors.IllegalTransition():
            return refusal.status, refusal.allowed
        case errors.NotTerminal():
            return refusal.status
    return None
