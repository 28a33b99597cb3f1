#!lua flags=allow-oom
-- Record how tries to deliver went. Each of h.tries has member, message, and outcome: delivered; again (after delay_ms);
-- failed (for good; with `disable` the webhook gets nothing more, for that reason); closed (all of its lane, without a try).
-- -> {'ok', member that was disabled...} | {'fenced'}
local fenced = check_sender()
if fenced then return fenced end
local reply, touched = { 'ok' }, {}

local function record(member, try)
  local message = keys.webhook_message(member, try.message)
  local m = redis.call('HMGET', message, 'status', 'lane')
  if m[1] ~= 'waiting' or redis.call('LINDEX', keys.webhook_lane(member, m[2]), '0') ~= try.message then return end
  touched[member] = true
  if try.outcome == 'closed' then
    for _, id in ipairs(redis.call('LRANGE', keys.webhook_lane(member, m[2]), '0', '-1')) do
      end_message(member, id, 'failed', try.error)
    end
    return
  end
  redis.call('HINCRBY', message, 'attempt', 1)
  redis.call('HSETNX', message, 'first_ms', int(try.sent_ms))
  redis.call('HSET', message, 'sent_ms', int(try.sent_ms))
  for _, field in ipairs({ 'code', 'error' }) do
    if try[field] then redis.call('HSET', message, field, try[field]) else redis.call('HDEL', message, field) end
  end
  if try.outcome == 'again' then
    redis.call('HINCRBY', keys.WEBHOOK_OUTCOMES, 'retried', 1)
    redis.call('HSET', message, 'next_ms', int(now + try.delay_ms))
    redis.call('ZADD', keys.webhook_lanes(member), int(now + try.delay_ms), m[2])
    return
  end
  end_message(member, try.message, try.outcome, try.error)
  if try.disable and redis.call('HGET', keys.webhook(member), 'enabled') == '1' then
    disable(member, try.disable)
    reply[#reply + 1] = member
  end
end

for _, try in ipairs(h.tries) do
  if redis.call('EXISTS', keys.webhook(try.member)) == 1 then record(try.member, try) end
end
for member in pairs(touched) do update_due(member) end
return reply
