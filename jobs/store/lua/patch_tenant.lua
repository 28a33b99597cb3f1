-- Change a tenant's quotas and rules of retention: those of h.set by name, those of h.unset are its own no more. -> {'ok'}
local settings = keys.tenant_settings(h.tenant)
for name, value in pairs(h.set) do redis.call('HSET', settings, name, int(value)) end
for _, name in ipairs(h.unset) do redis.call('HDEL', settings, name) end
redis.call('SADD', keys.TENANTS, h.tenant)
return { 'ok' }
