#!lua flags=allow-oom
-- Become or stay the one sender of all webhooks, or with h.release leave. -> {'held'} | {'other'} | {'released'}
local holder = redis.call('GET', keys.WEBHOOK_LEASE)
if holder and holder ~= h.nonce then return { 'other' } end
if h.release then
  redis.call('DEL', keys.WEBHOOK_LEASE)
  return { 'released' }
end
redis.call('SET', keys.WEBHOOK_LEASE, h.nonce, 'PX', int(h.lease_ms))
return { 'held' }
