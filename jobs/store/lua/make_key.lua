-- Make an access key, or find the one of this idempotency key. -> {'new'|'same', id} | {'mismatch'} | {'gone'}
local idempotency = keys.access_idempotency(h.maker)
local replay = find_replay(idempotency, 'same')
if replay then return replay end
if h.idempotency_key then
  redis.call('HSET', idempotency, h.idempotency_key, h.id .. ' ' .. h.body_digest)
end
local seq = redis.call('INCR', keys.ACCESS_SEQUENCE)
local record = keys.access_key(h.id)
redis.call('HSET', record, 'id', h.id, 'tenant', h.tenant, 'scopes', h.scopes, 'name', h.name,
  'sha256', h.sha256, 'created_ms', now, 'seq', int(seq))
if h.idempotency_key then redis.call('HSET', record, 'maker', h.maker, 'idempotency_key', h.idempotency_key) end
redis.call('ZADD', keys.access_index(), seq, h.id)
redis.call('ZADD', keys.access_index(h.tenant), seq, h.id)
return { 'new', h.id }
