#!lua flags=allow-oom
-- Record how tries to deliver went. Each of h.tries has member, message, and outcome: delivered; again (after delay_ms);
-- failed (for good; with `disable` the webhook gets nothing more, for that reason); closed (all of its lane, without a try).
-- -> {'ok', member that was disabled...} | {'fenced'}
local fenced = check_sender()
if fenced then return fenced end
local reply = { 'ok' }

-- Fields of a message after a try, flat, and those that it has not any more.
local function fields_of(try, attempt, first_ms)
  local fields, absent = { 'attempt', int(attempt + 1), 'sent_ms', int(try.sent_ms) }, {}
  if not first_ms then fields[5], fields[6] = 'first_ms', int(try.sent_ms) end
  for _, name in ipairs({ 'code', 'error' }) do
    if try[name] then fields[#fields + 1], fields[#fields + 2] = name, try[name] else absent[#absent + 1] = name end
  end
  return fields, absent
end

local function record(member, try)
  local message = keys.webhook_message(member, try.message)
  local m = redis.call('HMGET', message, 'status', 'lane', 'attempt', 'first_ms')
  local list = keys.webhook_lane(member, m[2] or '')
  local heads = redis.call('LRANGE', list, '0', '1')
  if m[1] ~= 'waiting' or heads[1] ~= try.message then return end
  if try.outcome == 'closed' then
    for _, id in ipairs(redis.call('LRANGE', list, '0', '-1')) do
      end_message(member, id, m[2], redis.call('LRANGE', list, '0', '1'), 'failed', { 'error', try.error }, {})
    end
    return
  end
  local fields, absent = fields_of(try, tonumber(m[3]), m[4])
  if try.outcome == 'again' then
    redis.call('HSET', message, 'next_ms', int(now + try.delay_ms), unpack(fields))
    if absent[1] then redis.call('HDEL', message, unpack(absent)) end
    redis.call('ZADD', keys.webhook_lanes(member), int(now + try.delay_ms), m[2])
    touched[member], outcomes.retried = true, (outcomes.retried or 0) + 1
    return
  end
  end_message(member, try.message, m[2], heads, try.outcome, fields, absent)
  if try.disable and redis.call('HGET', keys.webhook(member), 'enabled') == '1' then
    disable(member, try.disable)
    reply[#reply + 1] = member
  end
end

for _, try in ipairs(h.tries) do record(try.member, try) end
settle()
return reply
