-- Make a job, or find the one of this idempotency key. A verify (h.parent) runs its parent's ticks after h.origin up to
-- h.ticks_total again, and needs a worker with its parent's fingerprint.
-- -> {'new', id, snapshot...} | {'same', id} | {'mismatch'} | {'gone'} | {'full'} | {'quota', name, used, limit} |
--    {'no dataset', id} | {'no parent'}
local member = keys.job_member(h.tenant, h.id)
local idempotency = keys.idempotency(h.tenant)
local replay = find_replay(idempotency, 'same')
if replay then return replay end
if h.max_queued and redis.call('ZCARD', status_index(member, 'queued')) >= h.max_queued then return { 'full' } end
-- beyond its artifacts' quota a tenant gets no new job, however small; those that run go on
local excess = find_quota_excess(h.tenant, 'queued', 1) or find_quota_excess(h.tenant, 'spec_bytes', #ARGV[2])
  or find_quota_excess(h.tenant, 'artifact_bytes', 1)
if excess then return excess end
-- the dataset must still have the file that the spec was checked against
for id, path in pairs(h.datasets) do
  if redis.call('HGET', keys.dataset(h.tenant, id), 'path') ~= path then return { 'no dataset', id } end
end
local parent = h.parent and redis.call('HMGET', keys.job(keys.job_member(h.tenant, h.parent)), 'status', 'canary', 'identity', 'fingerprint')
if parent and not parent[1] then return { 'no parent' } end
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
if h.ticks_total then redis.call('HSET', job, 'ticks_total', int(h.ticks_total)) end
if h.idempotency_key then
  redis.call('HSET', job, 'idempotency_key', h.idempotency_key)
  redis.call('HSET', keys.job_idempotency_keys(member), h.idempotency_key, h.body_digest)
end
if parent then
  redis.call('HSET', job, 'parent', h.parent, 'origin', int(h.origin))
  -- in the order of the HMGET above; the parent's `fingerprint` is this record's `recorded`
  for i, field in ipairs({ 'canary', 'identity', 'recorded' }) do
    if parent[i + 1] then redis.call('HSET', job, field, parent[i + 1]) end
  end
end
local used = {}
for id in pairs(h.datasets) do
  used[#used + 1] = id
  redis.call('SADD', keys.dataset_jobs(h.tenant, id), h.id)
end
if #used > 0 then redis.call('HSET', job, 'datasets', table.concat(used, ' ')) end
redis.call('SADD', keys.QUEUES, h.queue)
redis.call('SADD', keys.TENANTS, h.tenant)
for_each_index(member, function(index) redis.call('ZADD', index, seq, h.id) end)
redis.call('ZADD', keys.job_index(h.tenant), seq, h.id)
add_job_usage(member, 'spec_bytes', #ARGV[2])
set_status(member, 'queued')
return { 'new', h.id, unpack(read_snapshot(member, 0)) }
