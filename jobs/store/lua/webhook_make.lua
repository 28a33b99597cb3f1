-- Make a webhook, or find the one of this idempotency key; with h.is_default the tenant's own, of which there is one.
-- ARGV[2] is its secret, sealed. -> {'new'|'same', id} | {'mismatch'} | {'gone'} | {'quota', name, used, limit, needed}
local idempotency = keys.webhook_idempotency(h.tenant)
local replay = find_replay(idempotency, 'same')
if replay then return replay end
local index, known = keys.webhook_index(h.tenant), h.is_default and redis.call('HGET', keys.WEBHOOK_DEFAULTS, h.tenant)
if known then return { 'same', known } end
local count = redis.call('ZCARD', index)
if not h.is_default and count >= h.max_webhooks then return { 'quota', 'webhooks', int(count), int(h.max_webhooks), '1' } end
local member = keys.job_member(h.tenant, h.id)
local record, seq = keys.webhook(member), redis.call('INCR', keys.WEBHOOK_SEQUENCE)
redis.call('HSET', record, 'id', h.id, 'tenant', h.tenant, 'url', h.url or '', 'name', h.name, 'events', h.events,
  'labels', h.labels, 'format', h.format, 'enabled', '1', 'secret', ARGV[2], 'created_ms', now, 'seq', int(seq))
if h.is_default then
  redis.call('HSET', record, 'is_default', '1')
  redis.call('HSET', keys.WEBHOOK_DEFAULTS, h.tenant, h.id)
end
if h.idempotency_key then
  redis.call('HSET', idempotency, h.idempotency_key, h.id .. ' ' .. h.body_digest)
  redis.call('HSET', record, 'idempotency_key', h.idempotency_key)
end
redis.call('ZADD', index, seq, h.id)
redis.call('SADD', keys.WEBHOOK_TENANTS, h.tenant)
count_events(member, 1)
return { 'new', h.id }
