-- Make a job, or find the one of this idempotency key. A verify (h.parent) runs its parent's ticks after h.origin up to
-- h.ticks_total again, and needs a worker with its parent's fingerprint. A fork (h.start) goes on after h.origin with a
-- record, checkpoints and history of its own; its files are in its folder, held by lua/hold_files.lua. ARGV[3]… are its
-- parts of the open segment. A question (h.question) is about a dataset, and waits for an answering process.
-- -> {'new', id, snapshot...} | {'same', id} | {'mismatch'} | {'gone'} | {'full'} | {'quota', name, used, limit, needed} |
--    {'no dataset', id} | {'no parent'} | {'lost'} | {'moved'} | {'held', most}
local member = keys.job_member(h.tenant, h.id)
local idempotency = keys.idempotency(h.tenant)
local replay = find_replay(idempotency, 'same')
if replay then return replay end
if h.idempotency_key and redis.call('EXISTS', keys.answer_idempotency(h.tenant, h.idempotency_key)) == 1 then return { 'mismatch' } end
if h.max_queued and redis.call('ZCARD', status_index(member, 'queued')) >= h.max_queued then return { 'full' } end
-- beyond its artifacts' quota a tenant gets no new job, however small; those that run go on
local excess = find_quota_excess(h.tenant, 'queued', 1) or find_quota_excess(h.tenant, 'spec_bytes', #ARGV[2])
  or find_quota_excess(h.tenant, 'artifact_bytes', h.start and h.start.bytes or h.reserved_bytes or 1)
if excess then return excess end
-- the dataset must still have the file that the spec was checked against
for id, path in pairs(h.datasets) do
  if redis.call('HGET', keys.dataset(h.tenant, id), 'path') ~= path then return { 'no dataset', id } end
end
local parent = h.parent and redis.call('HMGET', keys.job(keys.job_member(h.tenant, h.parent)), 'status', 'canary', 'identity', 'fingerprint')
if parent and not parent[1] then return { 'no parent' } end
local refusal = h.question and find_hold_refusal(keys.job_member(h.tenant, h.parent), h.origin, h.folder)
if refusal then return refusal end
if h.start and not is_held(member) then return { 'lost' } end
if h.idempotency_key then
  redis.call('HSET', idempotency, h.idempotency_key, h.id .. ' ' .. h.body_digest)
end
local job = keys.job(member)
local seq = redis.call('INCR', keys.SEQUENCE)
local rank = -h.priority * 17592186044416 + seq -- 2^44 submissions fit between two priorities
redis.call('HSET', job, 'schema', SCHEMA, 'tenant', h.tenant, 'id', h.id, 'kind', h.kind, 'name', h.name,
  'labels', h.labels, 'notes', h.notes, 'priority', int(h.priority), 'seq', int(seq), 'rank', int(rank),
  'queue', h.queue, 'created_ms', now, 'term', '0', 'tick', int(h.origin), 'attempt', '0',
  'deaths', '0', 'archived', '1', 'segments', '0', 'exact', '1', 'spec', ARGV[2], 'required', h.required and '1' or '0',
  'threads', int(h.threads), 'memory', int(h.memory), 'open_ended', h.open_ended and '1' or '0')
if h.engine_asked then redis.call('HSET', job, 'engine_asked', h.engine_asked) end
if h.kind == 'train' then redis.call('HSET', job, 'skipped', '0') end
if h.notify then redis.call('HSET', job, 'notify', h.notify) end
if h.ticks_total then redis.call('HSET', job, 'ticks_total', int(h.ticks_total)) end
if h.idempotency_key then
  redis.call('HSET', job, 'idempotency_key', h.idempotency_key)
  redis.call('HSET', keys.job_idempotency_keys(member), h.idempotency_key, h.body_digest)
end
if parent then
  redis.call('HSET', job, 'parent', h.parent, 'origin', int(h.origin))
  -- in the order of the HMGET above; the parent's `fingerprint` is a verify's `recorded`
  local copied = not h.start and not h.question and { 'canary', 'identity', 'recorded' }
    or h.start and h.start.continues_bits and { 'canary', 'identity', 'fingerprint' } or {}
  for i, field in ipairs(copied) do
    if parent[i + 1] then redis.call('HSET', job, field, parent[i + 1]) end
  end
end

-- Write what a fork begins with: fields, checkpoints, and its history up to h.origin.
local function begin_fork()
  for field, text in pairs(h.start.fields) do redis.call('HSET', job, field, text) end
  for tick, text in pairs(h.start.checkpoints) do redis.call('HSET', keys.checkpoints(member), tick, text) end
  for name, digest in pairs(h.start.digests) do redis.call('HSET', keys.segment_digests(member), name, digest) end
  local make_key = { f32 = keys.column, rows = keys.summary_rows, sparse = keys.sparse }
  for n, part in ipairs(h.start.parts) do
    redis.call('SET', make_key[part[1]](member, part[2], part[3]), ARGV[2 + n])
    if part[1] == 'f32' and part[2] == 'loss' then redis.call('HSET', job, 'loss', string.sub(ARGV[2 + n], -4)) end
  end
  update_latest_checkpoint(member)
  add_job_usage(member, 'artifact_bytes', h.start.bytes)
  redis.call('ZREM', keys.PENDING_JOB_REMOVALS, member)
end

local used = {}
for id in pairs(h.datasets) do
  used[#used + 1] = id
  redis.call('SADD', keys.dataset_jobs(h.tenant, id), h.id)
end
if #used > 0 then redis.call('HSET', job, 'datasets', table.concat(used, ' ')) end
if h.question then -- no Celery worker serves its queue
  redis.call('HSET', job, 'question', h.question)
  if h.reserved_bytes then -- of its result, until it ends
    redis.call('HSET', job, 'reserved_bytes', int(h.reserved_bytes))
    add_job_usage(member, 'artifact_bytes', h.reserved_bytes)
  end
  redis.call('RPUSH', keys.ANSWER_WAKEUPS, '1')
  redis.call('PEXPIRE', keys.ANSWER_WAKEUPS, '60000')
else redis.call('SADD', keys.QUEUES, h.queue) end
redis.call('SADD', keys.TENANTS, h.tenant)
for_each_index(member, function(index) redis.call('ZADD', index, seq, h.id) end)
redis.call('ZADD', keys.job_index(h.tenant), seq, h.id)
add_job_usage(member, 'spec_bytes', #ARGV[2])
if h.start then begin_fork() end
set_status(member, 'queued')
for _, note in ipairs(h.start and h.start.notes or {}) do add_log_event(member, note[1], note[2]) end
return { 'new', h.id, unpack(read_snapshot(member, 0)) }
