"""The legend of a job's hash: every field, its type as text, and what it means.

Absent means empty, zero or false. Times are the store's, in ms. `lua/` writes the fields, codec.py
reads most of them; tests/test_jobs_job_fields.py compares all three.

What it is, from its submission on.
  schema: "1": version of this record; others are neither read nor written
  tenant: str
  id: str: job_ and 26 letters and digits
  kind: "train", "verify", "predict" or "evaluate"
  name: str
  labels: JSON object of strings
  notes: str
  priority: int
  seq: int: number among all submissions, over all tenants; lists go by it
  rank: int: score in its queue, -priority * 2**44 + seq; the lowest is claimed first
  queue: "cpu" or "cuda"; "answers" of a predict or evaluate
  spec: JSON: the complete spec; a verify, predict or evaluate has its parent's
  question: JSON: of a predict or evaluate: checkpoint, dataset's file, policy about gaps
  reserved_bytes: int: of a predict that has not ended: the most that its result can take
  datasets: ids of the spec's datasets, separated by spaces
  ticks_total: int: the last tick of its budget, if that is in ticks
  open_ended: "1": its budget has seconds, so it may succeed before ticks_total
  threads: int: CPU threads of its trainer
  memory: int: bytes that its trainer is estimated to need
  required: "1": all its ticks must have one fingerprint
  engine_asked: name of the engine that the spec asks for; absent for auto
  notify: JSON list of str: webhooks and addresses of its spec's `notify`; absent for none
  idempotency_key: str: of its submission
  answer: JSON: the first response to its submission
  created_ms: int: time of the submission

What it does now.
  status: queued, running, paused, succeeded, failed or cancelled
  requested: cancel, stop or pause: requested by a client, not done yet
  withdrawn: int: term whose requested pause a resume took back; its owner's pause requeues
  wanted: JSON object of name and pinned: a checkpoint that a client requested
  phase: what its trainer does; while it runs
  worker: name of the worker that runs it; while it runs
  started_ms: int: time of the first claim
  finished_ms: int: time of the end

Who may write to it.
  term: int: claims so far; the fencing number of the lease
  owner: nonce of the last claim
  lease_ms: int: when the lease ends
  attempt: int: attempts so far; the number of the newest
  deaths: int: attempts in a row that brought no new tick; too many fail the job

How it ended, or was given back.
  stopped_by: budget, patience, converged, target or user; skips where it failed by max_skips
  error: JSON object of type and detail
  result: JSON: a verify's certificate without its times; what a predict or evaluate found
  reason: why its last owner gave it back
  tail: end of the log of an attempt that gave it back

How far it is.
  tick: int: the accepted tick, or the one up to which a verify has compared
  elapsed: float: training seconds over all attempts; of a predict or evaluate: of computing
  rows_done: int: of a predict or evaluate: rows or windows that its newest attempt has done
  rows_total: int: of how many, if that is known
  rate_from: `tick elapsed` of the older mark; the rate is measured from it
  rate_to: `tick elapsed` of the newer mark, at least a second of training later
  skipped: int: of its own ticks, those whose loss was not finite and whose update was not applied;
    absent where an earlier build, which did not count, submitted it
  loss: 4 bytes: float32 of the accepted tick, little-endian
  metrics: JSON object: the newest values of validation
  best: JSON object: metric, tick, value and metrics of the best validation
  met: JSON object: conditions of its spec that were told, each with its tick

Its history.
  columns: JSON list: names of dense columns
  sparse: names of sparse columns, separated by spaces
  segments: int: full segments, from the first on, that are files
  history_bytes: int: bytes of those files
  sealed: "1": an ended job's whole history is in files
  archived: int: snapshots taken for its archive record; the newest has the highest
  log_events: int: `log` events so far, dropped ones too
  events_dropped: int: oldest events that are gone
  rebuilds: `base:events:attempts` of each rebuild, separated by spaces: from `base` on go the
    numbers of what is newer than so many events and attempts

Its checkpoints.
  latest_checkpoint: int: tick of the newest one
  checkpoint_bytes: int: bytes of all of them, without the code that they share
  code: sha256s of that code, separated by spaces
  code_bytes: int: its bytes
  init_bytes: int: bytes of the weights of another job that it begins with
  checkpoint_changes: int: changes of their set or of a request; an owner compares it
  held: ticks of those that retention keeps for questions alone, separated by spaces
  best_gone: int: the newest tick of a best checkpoint that a client deleted

What its ticks were computed on.
  engine: name of the engine
  device: "cpu" or "cuda"
  fingerprint: JSON object: all parts
  identity: the parts that must be equal, separated by spaces; a verify has its parent's
  canary: canary of the machine that drew the first weights; a verify has its parent's
  exact: "0": its ticks have more than one fingerprint
  inexact_from: int: the first tick of another fingerprint than those before it
  inexact_upto: int: ticks up to it have another fingerprint than those after it
  begun: "1": clients saw ticks of it before the store was lost and rebuilt

Of a verify, and of a fork.
  parent: id of the job whose ticks a verify runs again, or after which a fork goes on
  origin: int: the tick of the parent that it starts after
  recorded: JSON: the fingerprint of a verify's parent
  lineage: JSON: the jobs that made the ticks before a fork's own, each with its last tick and rates
"""
