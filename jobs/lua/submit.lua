-- A new job, or the old one of this idempotency key. -> {'new'|'same', id} | {'mismatch'} | {'gone'} | {'exists'}
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
  redis.call('HSET', known, h.idempotency_key, h.id .. ' ' .. h.body_digest)
end
local job = key(member)
local seq = redis.call('INCR', 'jobs:sequence')
local rank = -h.priority * 17592186044416 + seq -- 2^44 submissions fit between two priorities
redis.call('HSET', job, 'schema', '1', 'tenant', h.tenant, 'id', h.id, 'kind', 'train', 'name', h.name,
  'labels', h.labels, 'notes', h.notes, 'priority', int(h.priority), 'seq', int(seq), 'rank', int(rank),
  'queue', h.queue, 'created_ms', now, 'queued_ms', now, 'term', '0', 'tick', '0', 'attempt', '0',
  'deaths', '0', 'segments', '0', 'exact', '1', 'spec', ARGV[2], 'required', h.required and '1' or '0',
  'threads', int(h.threads), 'open_ended', h.open_ended and '1' or '0')
if h.ticks_total then redis.call('HSET', job, 'ticks_total', int(h.ticks_total)) end
if h.idempotency_key then redis.call('HSET', job, 'idempotency_key', h.idempotency_key) end
redis.call('SADD', 'queues', h.queue)
each_index(member, function(where) redis.call('ZADD', where, seq, h.id) end)
redis.call('ZADD', index(member), seq, h.id)
move(member, 'queued')
return { 'new', h.id }
