#!lua flags=allow-oom
-- Change a webhook: the fields of h.set; h.enable or h.disable; with ARGV[2] a new secret, beside which the one before it
-- signs for h.overlap_ms. -> {'ok'} | {'gone'}
local member = h.member
local record = keys.webhook(member)
local was_enabled = redis.call('HGET', record, 'enabled')
if not was_enabled then return { 'gone' } end
count_events(member, -1)
for field, text in pairs(h.set) do redis.call('HSET', record, field, text) end
if h.enable then
  redis.call('HSET', record, 'enabled', '1')
  redis.call('HDEL', record, 'disabled_reason', 'disabled_ms')
end
count_events(member, 1)
if h.disable and was_enabled == '1' then disable(member, h.disable) end
if ARGV[2] then
  redis.call('HSET', record, 'old_secret', redis.call('HGET', record, 'secret'), 'old_until_ms', int(now + h.overlap_ms), 'secret', ARGV[2])
end
return { 'ok' }
