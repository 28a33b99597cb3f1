"""All mutants."""

from faults.mutants import (
    answer_mutants,
    append_mutants,
    connection_mutants,
    damage_mutants,
    data_mutants,
    device_mutants,
    disk_mutants,
    durability_mutants,
    fork_mutants,
    format_mutants,
    ledger_mutants,
    operator_mutants,
    picture_mutants,
    prediction_mutants,
    process_mutants,
    request_mutants,
    tenant_mutants,
    training_mutants,
)

MUTANTS = (
    *ledger_mutants.MUTANTS, *training_mutants.MUTANTS, *durability_mutants.MUTANTS,
    *data_mutants.MUTANTS, *device_mutants.MUTANTS, *operator_mutants.MUTANTS,
    *damage_mutants.MUTANTS,
    *disk_mutants.MUTANTS,
    *request_mutants.MUTANTS,
    *connection_mutants.MUTANTS,
    *tenant_mutants.MUTANTS,
    *format_mutants.MUTANTS,
    *process_mutants.MUTANTS,
    *append_mutants.MUTANTS,
    *fork_mutants.MUTANTS,
    *prediction_mutants.MUTANTS,
    *answer_mutants.MUTANTS,
    *picture_mutants.MUTANTS,
)  # fmt: skip
