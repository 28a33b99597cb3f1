-- A new access key, or the old one of this idempotency key. -> {'new'|'same', id} | {'mismatch'} | {'gone'}
local known = 'access:idempotency:' .. h.maker
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
local seq = redis.call('INCR', 'access:sequence')
local where = 'access:key:' .. h.id
redis.call('HSET', where, 'id', h.id, 'tenant', h.tenant, 'scopes', h.scopes, 'name', h.name,
  'sha256', h.sha256, 'created_ms', now, 'seq', int(seq))
if h.idempotency_key then redis.call('HSET', where, 'maker', h.maker, 'idempotency_key', h.idempotency_key) end
redis.call('ZADD', 'access:index', seq, h.id)
redis.call('ZADD', 'access:index:' .. h.tenant, seq, h.id)
return { 'new', h.id }
