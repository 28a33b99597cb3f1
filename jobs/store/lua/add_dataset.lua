-- A dataset whose bytes lie durably at h.path, or the one there is. The path is doomed until this takes it.
-- -> {'new'|'same'|'replayed', id, status of the first answer} | {'mismatch'} | {'gone'} | {'late'}
local known = 'idempotency:' .. h.tenant
local record = dataset(h.tenant, h.id)
if h.idempotency_key then
  local had = redis.call('HGET', known, h.idempotency_key)
  if had then
    local id, digest, status = string.match(had, '^(%S+) ([^ :]+):?(%d*)$')
    if id == 'deleted' then return { 'gone' } end
    if digest ~= h.body_digest then return { 'mismatch' } end
    return { 'replayed', id, status }
  end
end
local there = redis.call('EXISTS', record) == 1
if not there then
  local blob = 'dataset:blob:' .. h.sha256
  local path = redis.call('HGET', blob, 'path')
  if not path then
    if redis.call('ZREM', 'datasets:doomed', h.path) == 0 then return { 'late' } end
    redis.call('HSET', blob, 'path', h.path)
    path = h.path
  end
  redis.call('SADD', blob .. ':references', h.tenant .. '/' .. h.id)
  local seq = redis.call('INCR', 'datasets:sequence')
  redis.call('HSET', record, 'schema', '1', 'id', h.id, 'tenant', h.tenant, 'name', h.name, 'type', h.type,
    'delimiter', h.delimiter, 'sha256', h.sha256, 'bytes', int(h.bytes), 'path', path, 'seq', int(seq),
    'created_ms', now, 'marks', h.marks, 'profile', ARGV[2])
  redis.call('ZADD', 'datasets:of:' .. h.tenant, seq, h.id)
  redis.call('ZREM', 'tombstones:' .. h.tenant, h.id)
end
local status = there and '200' or '201'
if h.idempotency_key then
  redis.call('HSET', known, h.idempotency_key, h.id .. ' ' .. h.body_digest .. ':' .. status)
  redis.call('SADD', record .. ':keys', h.idempotency_key)
end
return { there and 'same' or 'new', h.id, status }
