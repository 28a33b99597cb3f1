"""The promises, the faults that attack them, and the mutants that show that a check can fail.

docs/reliability.md is written from this (page.py). Names are those of the catalogues.
"""

from typing import NamedTuple


class Promise(NamedTuple):
    """One promise. `faults`: names of the catalogue or their beginnings; `invariants`: I1 to I8.

    Without faults it is tests that attack it: those that kill the mutants.
    """

    text: str
    invariants: str
    faults: tuple[str, ...]
    mutants: tuple[str, ...]


PROMISES = (
    Promise(
        "An acknowledged job is never lost",
        "I1",
        ("F2", "F5", "F6", "F9", "F10", "F12", "F14", "F15", "F16", "F19", "F24", "F25", "F27"),
        ("acknowledged-before-fsync", "weak-store-accepted", "lease-for-ever", "folder-not-synced"),
    ),
    Promise(
        "At most one owner's ticks are ever accepted, in order",
        "I4",
        ("F3", "F8", "F11", "F20", "F23"),
        ("fence-off", "fence-by-term-alone", "clients-clock", "audit-forgets"),
    ),
    Promise(
        "What a client has been shown of a history never changes",
        "I2",
        ("F1", "F5", "F6", "F9", "F13.segment"),
        ("replayed-losses-not-compared", "replayed-states-not-compared", "gap-let-in",
         "segment-moves-half-full"),
    ),
    Promise(
        "A resumed run equals the uninterrupted one, bit for bit",
        "I3",
        ("F1", "F2", "F4", "F17", "F18", "F29", "F30", "F31"),
        ("rng-off-by-one", "data-off-by-one", "tick-applied-twice", "validated-again",
         "one-ulp-after-a-load", "optimizer-forgotten", "patience-forgotten",
         "stop-rule-at-chunk-ends", "vector-math-on-two-threads"),
    ),
    Promise(
        "A committed checkpoint is whole, and an old one goes only after the new one counts",
        "I5",
        ("F13", "F17", "F18", "F30.commit", "F30.save"),
        ("committed-too-early", "checkpoint-not-verified", "checkpoint-committed-before-fsync",
         "file-named-before-fsync", "loaded-state-not-compared", "aside-without-a-copy",
         "late-checkpoint-not-said-again"),
    ),
    Promise(
        "What is served or certified was read, and is what was committed",
        "I5",
        ("F18",),
        ("damaged-download-completed", "damage-forgotten", "range-unhashed", "history-unhashed",
         "summary-row-not-checked", "damaged-checkpoint-certified", "exported-net-in-float32"),
    ),
    Promise(
        "Nothing is done twice, and nothing deleted comes back",
        "I1, I4",
        ("F9", "F11", "F12", "F28"),
        ("claim-not-repeated", "another-body-under-an-old-key", "deleted-job-comes-back",
         "no-tombstone"),
    ),
    Promise(
        "A client's request takes effect, or is refused with a reason",
        "I1, I8",
        ("F4", "F23", "F31.request", "F31.replay"),
        ("cancel-lost-in-a-pause", "cancel-displaced", "succeeded-too-early"),
    ),
    Promise(
        "No check costs more than what was sent",
        "",
        (),
        ("features-compared-pairwise", "columns-searched-one-by-one", "every-error-kept",
         "unknown-fields-all-checked", "pointer-shown-whole", "all-points-read-for-one"),
    ),
    Promise(
        "A plan tells the truth about memory and time, and a long tick is no stall",
        "",
        (),
        ("window-not-planned", "cores-not-counted", "no-sign-of-life-within-a-tick",
         "sign-of-life-not-counted"),
    ),
    Promise(
        "What a disk that refuses is answered with is so, and a full one takes what makes room",
        "I1, I8",
        ("F13",),
        ("room-not-taken-first", "no-reserve-on-a-full-disk", "reserve-not-filled-again",
         "done-but-refused", "owed-record-forgotten", "short-record-not-read",
         "key-without-a-secret", "disk-not-probed"),
    ),
    Promise(
        "A request costs the same after many others, and others cannot read what it stored",
        "",
        (),
        ("requests-in-every-record", "page-read-whole", "artifacts-open-to-all"),
    ),
    Promise(
        "A damaged file is refused whatever is bad in it, and costs no more than its bytes",
        "",
        (),
        ("parser-error-let-through", "broken-disk-called-bad-data", "damaged-file-not-hashed",
         "members-not-bounded", "record-of-64-bits-not-bounded", "long-header-unpacked",
         "cells-not-bounded", "gzip-copies-its-rest", "open-quote-loses-a-row",
         "page-of-any-bytes"),
    ),
    Promise(
        "Bad luck is visible, bounded and never silent",
        "I6, I7, I8",
        ("F7", "F13", "F14", "F15", "F16", "F21", "F22", "F26", "F28"),
        ("error-not-said-again", "poison-not-counted", "half-deleted-history"),
    ),
    Promise(
        "An answer has the bits of its net's model.py, whatever is asked beside it or was before",
        "",
        (),
        ("predicted-in-company", "predicted-on-the-callers-threads",
         "sampled-from-the-global-generator", "nets-held-for-ever", "damaged-net-answers",
         "evaluated-in-other-blocks"),
    ),
    Promise(
        "An address means the same for store and broker, and no password is shown",
        "",
        (),
        ("password-in-an-error", "password-in-the-brokers-address", "address-option-ignored",
         "unknown-address-option-accepted"),
    ),
    Promise(
        "A quota holds, its counters are exact, and retention takes only what no rule keeps",
        "",
        (),
        ("running-quota-not-held", "nobody-overtakes", "deleted-specs-counted",
         "replay-beyond-a-quota", "upload-beyond-its-quota", "pinned-job-deleted-by-a-rule",
         "parent-of-a-live-job-deleted", "deletion-left-half-done", "damaged-code-shared"),
    ),
    Promise(
        "A fork is its parent's continuation to the bit, has all it needs, and is whole or not",
        "",
        (),
        ("fork-counts-ticks-from-zero", "fork-without-the-optimizer",
         "extension-ends-where-its-parent-did", "extension-knows-what-the-end-measured",
         "fork-shares-its-parents-files", "copy-not-compared",
         "fork-made-though-its-files-may-be-gone", "broken-forks-files-stay",
         "fork-changes-the-net", "schedule-stretched-unasked", "forks-first-state-expires",
         "misfit-weights-taken", "init-forgotten", "rates-of-a-line-by-its-last-job",
         "fork-begun-from-its-spec"),
    ),
    Promise(
        "A cursor neither skips nor repeats what differs, over a lost store too",
        "",
        (),
        ("event-numbers-come-again", "rebuilds-not-counted"),
    ),
    Promise(
        "No text of others forges a line of a log or steers a terminal",
        "",
        (),
        ("log-entry-forged", "terminal-steered-by-a-log"),
    ),
    Promise(
        "The client says what became of each job and each row, and sends nothing of a wrong list",
        "",
        (),
        ("parts-by-several-nets", "rows-numbered-by-part", "wrong-row-sent-after-others",
         "failed-job-among-others", "quiet-stream-given-up"),
    ),
    Promise(
        "A deleted key is of no use from then on, for what waits too",
        "",
        (),
        ("deleted-key-waits-on",),
    ),
    Promise(
        "A signed link opens what was signed, until its end; a picture is of the newest tick",
        "",
        (),
        ("query-not-signed", "path-not-signed", "end-not-signed", "links-never-end",
         "links-outlive-their-admin-key", "link-secret-not-archived", "picture-of-a-stale-tick"),
    ),
    Promise(
        "An export has every tick once, to the bit where the format can, and nothing private",
        "",
        (),
        ("export-drops-a-tick-of-a-block", "export-rounds-float64", "run-has-null-for-nan",
         "run-has-no-negative-zero", "export-does-not-wait-for-a-ticks-points",
         "export-of-a-stale-tick", "export-has-addresses", "export-appends-at-the-end",
         "export-asks-for-a-tick-again", "run-of-a-live-job-exported"),
    ),
    Promise(
        "Nobody keeps the service from others by what a connection holds or claims",
        "",
        (),
        ("head-without-a-deadline", "head-read-by-a-thread", "body-read-without-a-place",
         "refusal-waits-for-the-body", "downloads-not-counted", "thread-waits-for-the-reader",
         "write-without-a-deadline", "oldest-connection-not-closed",
         "one-tenant-has-every-place", "anybody-is-a-proxy"),
    ),
    Promise(
        "A start needs no short path, and removes what killed processes left, no more",
        "",
        (),
        ("living-owners-folder-removed", "socket-by-its-long-path"),
    ),
    Promise(
        "An answer comes, or a clear error does, and nothing is left of it when its time is over",
        "",
        (),
        ("answer-for-ever", "answer-without-fence", "answer-tried-for-ever",
         "drain-costs-an-attempt", "many-answers-first", "expired-answers-counted",
         "answers-without-bound", "answer-key-of-a-job", "rows-not-checked", "answers-one-by-one",
         "questions-among-jobs", "celery-woken-for-questions", "lacking-columns-not-told",
         "dead-process-kept", "gone-checkpoint-is-damage", "export-for-any-worker",
         "export-tried-at-each-request", "drain-is-an-error", "damaged-export-kept",
         "export-nobody-can-make"),
    ),
    Promise(
        "An event is sent if and only if it happened, in its job's order, and never under two ids",
        "",
        (),
        ("end-not-told", "event-told-at-each-claim", "events-of-everybody-stored",
         "dropped-events-not-counted", "event-moved-twice", "moved-without-the-lease",
         "recorded-without-the-lease", "try-recorded-twice", "message-id-drawn",
         "later-events-overtake", "failed-try-is-the-last", "tried-for-ever",
         "redirect-is-a-delivery", "gone-receiver-called-again", "ends-not-sent-again",
         "disabled-webhook-forgets-nothing"),
    ),
    Promise(
        "A webhook reaches nothing inside, and nobody who reads its record can sign for it",
        "",
        (),
        ("checked-at-its-making-alone", "one-public-address-is-enough",
         "embedded-address-not-looked-at", "private-address-accepted", "secret-not-sealed",
         "seal-not-bound", "old-secret-signs-no-more"),
    ),
    Promise(
        "An appended dataset is the file that its parts are; a row that does not fit refuses all",
        "",
        (),
        ("appended-row-not-fitted", "appended-class-not-counted", "appended-to-damaged-bytes",
         "shared-part-not-held", "shared-part-counted-again", "part-not-restored",
         "appended-to-a-deleted-parent", "header-in-the-middle", "texts-of-a-scan-forgotten"),
    ),
    Promise(
        "A condition is told at the first tick that meets it, once, whatever dies",
        "",
        (),
        ("condition-told-twice", "condition-met-at-a-later-tick", "condition-lost-between",
         "condition-in-float32", "condition-search-skips-infinity"),
    ),
    Promise(
        "A job ends where its rules say, and its record says how",
        "",
        (),
        ("sum-of-losses-forgotten", "target-of-one-loss", "earlier-target-of-a-mean",
         "stop-displaced", "stop-lost-in-a-pause", "succeeded-half-way", "biases-decay",
         "biases-decay-in-c", "stored-optimizer-decays-weights"),
    ),
    Promise(
        "A service in use for long does not grow",
        "",
        (),
        ("freed-memory-kept", "wake-up-for-a-busy-worker", "compiling-process-not-reaped"),
    ),
    Promise(
        "A job stays on the device that was chosen for it, and no GPU is used that is not there",
        "",
        (),
        ("worker-sees-every-gpu", "unusable-gpu-takes-jobs", "unusable-gpu-chosen",
         "missing-gpu-not-told", "hidden-gpu-used", "device-chosen-and-not-stored",
         "exact-on-unlike-gpus", "gpu-memory-by-a-cpus-rule", "fork-server-asks-cuda",
         "targets-left-on-the-cpu", "gpu-not-in-its-canary", "kernels-by-the-moments-speed",
         "gpu-fault-fails-its-job",
         "failed-gpu-trusted"),
    ),
    Promise(
        "A restart or a stop tells or queues requests, hangs for nobody and leaves no process",
        "I8",
        ("F12.api", "F25"),
        ("fork-keeps-descriptors", "fork-keeps-handlers", "fork-outlives-its-parent",
         "stopping-process-says-ready", "wake-ups-sent-late"),
    ),
)  # fmt: skip
