-- A new job, or the old one of this idempotency key. A verify (h.parent) is of its parent's ticks after h.origin
-- up to h.ticks_total, and waits for a worker with its parent's fingerprint.
-- -> {'new', id, snapshot...} | {'same', id} | {'mismatch'} | {'gone'} | {'full'} | {'no dataset', id} | {'no parent'}
local member = h.tenant .. '/' .. h.id
local known = 'idempotency:' .. h.tenant
if h.idempotency_key then
  local had = redis.call('HGET', known, h.idempotency_key)
  if had then
    local id, digest = string.match(had, '^(%S+) (%S+)$')
    if id == 'deleted' then return { 'gone' } end
    if digest ~= h.body_digest then return { 'mismatch' } end
    return { 'same', id }
  end
end
if h.max_queued and redis.call('ZCARD', 'index:' .. h.tenant .. ':status:queued') >= h.max_queued then return { 'full' } end
-- the file a spec was checked against must be the dataset's still
for id, path in pairs(h.datasets) do
  if redis.call('HGET', dataset(h.tenant, id), 'path') ~= path then return { 'no dataset', id } end
end
local parent = h.parent and redis.call('HMGET', key(h.tenant .. '/' .. h.parent), 'status', 'canary', 'identity', 'fingerprint')
if parent and not parent[1] then return { 'no parent' } end
if h.idempotency_key then
  redis.call('HSET', known, h.idempotency_key, h.id .. ' ' .. h.body_digest)
end
local job = key(member)
local seq = redis.call('INCR', 'jobs:sequence')
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
  redis.call('HSET', key(member, 'known'), h.idempotency_key, h.body_digest)
end
if parent then
  redis.call('HSET', job, 'parent', h.parent, 'origin', int(h.origin))
  for i, field in ipairs({ 'canary', 'identity', 'recorded' }) do
    if parent[i + 1] then redis.call('HSET', job, field, parent[i + 1]) end
  end
end
local used = {}
for id in pairs(h.datasets) do
  used[#used + 1] = id
  redis.call('SADD', dataset(h.tenant, id, 'jobs'), h.id)
end
if #used > 0 then redis.call('HSET', job, 'datasets', table.concat(used, ' ')) end
redis.call('SADD', 'queues', h.queue)
redis.call('SADD', 'jobs:tenants', h.tenant)
each_index(member, function(where) redis.call('ZADD', where, seq, h.id) end)
redis.call('ZADD', index(member), seq, h.id)
move(member, 'queued')
return { 'new', h.id, unpack(snapshot(member, 0)) }
