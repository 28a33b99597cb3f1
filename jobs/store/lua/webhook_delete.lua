#!lua flags=allow-oom
-- Remove a webhook with all its deliveries. With h.is_withdrawn its idempotency key is free again. -> {'ok'} | {'gone'}
local member = h.member
local tenant, id, record = tenant_of(member), id_of(member), keys.webhook(member)
local w = redis.call('HMGET', record, 'id', 'idempotency_key')
if not w[1] then return { 'gone' } end
count_events(member, -1)
local idempotency = keys.webhook_idempotency(tenant)
if w[2] and h.is_withdrawn then redis.call('HDEL', idempotency, w[2])
elseif w[2] then redis.call('HSET', idempotency, w[2], 'deleted -') end
for _, message in ipairs(redis.call('ZRANGE', keys.webhook_messages(member), '0', '-1')) do
  redis.call('UNLINK', keys.webhook_message(member, message))
end
for _, lane in ipairs(redis.call('ZRANGE', keys.webhook_lanes(member), '0', '-1')) do
  redis.call('UNLINK', keys.webhook_lane(member, lane))
end
redis.call('UNLINK', record, keys.webhook_lanes(member), keys.webhook_messages(member), keys.webhook_waiting(member), keys.webhook_ended(member))
redis.call('ZREM', keys.WEBHOOKS_DUE, member)
redis.call('ZREM', keys.webhook_index(tenant), id)
if redis.call('HGET', keys.WEBHOOK_DEFAULTS, tenant) == id then redis.call('HDEL', keys.WEBHOOK_DEFAULTS, tenant) end
if redis.call('EXISTS', keys.webhook_index(tenant)) == 0 then redis.call('SREM', keys.WEBHOOK_TENANTS, tenant) end
return { 'ok' }
