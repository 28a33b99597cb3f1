-- Let a webhook's message be sent: one again (h.message), or a test (h.id, body ARGV[2]) in a lane of its own. For one that
-- waits its lane goes on at once, with the message at its head.
-- -> {'ok'} | {'gone'} | {'disabled', reason} | {'no message'}
local member = h.member
local w = redis.call('HMGET', keys.webhook(member), 'enabled', 'disabled_reason')
if not w[1] then return { 'gone' } end
if h.id then
  add_message(member, h.id, h.id, { 'event', h.event, 'body', ARGV[2], 'is_test', '1' })
else
  local message = redis.call('HMGET', keys.webhook_message(member, h.message), 'lane', 'is_test')
  if not message[1] then return { 'no message' } end
  if w[1] ~= '1' and not message[2] then return { 'disabled', w[2] or '' } end
  if redis.call('ZSCORE', keys.webhook_waiting(member), h.message) then
    call_first(member, message[1], redis.call('LINDEX', keys.webhook_lane(member, message[1]), '0'))
    update_due(member)
  else add_message(member, h.message, message[1], {}) end
end
settle()
return { 'ok' }
