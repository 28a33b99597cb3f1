-- Make a webhook whose record was written back findable. -> {'ok'}
local member = h.member
local tenant, id = tenant_of(member), id_of(member)
local w = redis.call('HMGET', keys.webhook(member), 'seq', 'is_default')
redis.call('ZADD', keys.webhook_index(tenant), w[1], id)
redis.call('SADD', keys.WEBHOOK_TENANTS, tenant)
if w[2] then redis.call('HSET', keys.WEBHOOK_DEFAULTS, tenant, id) end
if tonumber(redis.call('GET', keys.WEBHOOK_SEQUENCE) or '0') < tonumber(w[1]) then redis.call('SET', keys.WEBHOOK_SEQUENCE, w[1]) end
count_events(member, 1)
return { 'ok' }
