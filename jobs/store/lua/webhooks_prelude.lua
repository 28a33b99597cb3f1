-- Shared by the scripts of webhooks, after prelude.lua. A webhook's member is <tenant>/<webhook id>. A lane is a list of
-- messages that go one after the other: those of one job, and of one address where the job's spec names it.
keys.WEBHOOK_SEQUENCE = 'webhooks:sequence'
keys.WEBHOOK_TENANTS = 'webhooks:tenants'
keys.WEBHOOKS_DUE = 'webhooks:due'
keys.WEBHOOK_LEASE = 'webhooks:lease'
keys.WEBHOOK_DEFAULTS = 'webhooks:defaults'
function keys.webhook(member) return 'webhook:{' .. member .. '}' end
function keys.webhook_lanes(member) return keys.webhook(member) .. ':lanes' end
function keys.webhook_lane(member, lane) return keys.webhook(member) .. ':lane:' .. lane end
function keys.webhook_message(member, id) return keys.webhook(member) .. ':message:' .. id end
function keys.webhook_messages(member) return keys.webhook(member) .. ':messages' end
function keys.webhook_waiting(member) return keys.webhook(member) .. ':waiting' end
function keys.webhook_ended(member) return keys.webhook(member) .. ':ended' end
function keys.webhook_index(tenant) return 'webhooks:of:' .. tenant end
function keys.webhook_idempotency(tenant) return 'webhooks:idempotency:' .. tenant end

local MAX_ENDED = 1000 -- deliveries of one webhook that have ended, and are still listed
local KEEP_ENDED_MS = 259200000 -- three days
local MAX_TRIMMED = 100 -- at a time
local MAX_WAITING = 10000 -- deliveries of one webhook; the oldest are dropped

-- nil if this is the one sender, else {'fenced'}.
local function check_sender()
  if redis.call('GET', keys.WEBHOOK_LEASE) ~= h.nonce then return { 'fenced' } end
end

-- Count a webhook's events, or no longer, among those that `emit` looks at.
local function count_events(member, change)
  local w = redis.call('HMGET', keys.webhook(member), 'enabled', 'events', 'is_default')
  if w[1] ~= '1' or w[3] then return end
  local counts = keys.webhook_events(tenant_of(member))
  for _, event in ipairs(cjson.decode(w[2])) do
    if redis.call('HINCRBY', counts, event, change) <= 0 then redis.call('HDEL', counts, event) end
  end
end

local function update_due(member)
  local first = redis.call('ZRANGE', keys.webhook_lanes(member), '0', '0', 'WITHSCORES')
  if first[1] then redis.call('ZADD', keys.WEBHOOKS_DUE, first[2], member) else redis.call('ZREM', keys.WEBHOOKS_DUE, member) end
end

local function forget_message(member, id)
  redis.call('UNLINK', keys.webhook_message(member, id))
  redis.call('ZREM', keys.webhook_messages(member), id)
  redis.call('ZREM', keys.webhook_ended(member), id)
end

-- Forget deliveries that ended long ago, and all but the newest.
local function trim_ended(member)
  local ended = keys.webhook_ended(member)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ended, '-inf', int(now - KEEP_ENDED_MS), 'LIMIT', '0', int(MAX_TRIMMED))) do
    forget_message(member, id)
  end
  local surplus = redis.call('ZCARD', ended) - MAX_ENDED
  if surplus > 0 then
    for _, id in ipairs(redis.call('ZRANGE', ended, '0', int(surplus - 1))) do forget_message(member, id) end
  end
end

-- Let the first message of a lane go at once. It alone has a time of its next try.
local function call_first(member, lane, id)
  redis.call('HSET', keys.webhook_message(member, id), 'next_ms', now)
  redis.call('ZADD', keys.webhook_lanes(member), now, lane)
end

local touched = {} -- webhooks that something was recorded of, for `settle`
local outcomes = {} -- how many deliveries went which way

-- End a delivery of a lane: delivered, failed or dropped, and let the one behind it go at once. `heads` are the first two of
-- its lane, `fields` of its last try are flat, `absent` are those that this had not.
local function end_message(member, id, lane, heads, status, fields, absent)
  local message, list = keys.webhook_message(member, id), keys.webhook_lane(member, lane)
  if heads[1] ~= id then redis.call('LREM', list, '1', id) else
    redis.call('LPOP', list)
    if heads[2] then call_first(member, lane, heads[2]) else redis.call('ZREM', keys.webhook_lanes(member), lane) end
  end
  redis.call('HSET', message, 'status', status, 'ended_ms', now, unpack(fields))
  redis.call('HDEL', message, 'next_ms', unpack(absent))
  redis.call('ZREM', keys.webhook_waiting(member), id)
  redis.call('ZADD', keys.webhook_ended(member), now, id)
  touched[member], outcomes[status] = true, (outcomes[status] or 0) + 1
end

-- At the end of a script that ends deliveries: count them, forget the oldest, and note when their webhooks are due next.
local function settle()
  for member in pairs(touched) do
    trim_ended(member)
    update_due(member)
  end
  for status, count in pairs(outcomes) do redis.call('HINCRBY', keys.WEBHOOK_OUTCOMES, status, count) end
end

-- Let a message wait at the end of its lane; one of the same id that waits already stays as it is. `fields` are flat.
-- -> whether it is the first of its lane, and so due
local function add_message(member, id, lane, fields)
  local waiting, message = keys.webhook_waiting(member), keys.webhook_message(member, id)
  if redis.call('ZSCORE', waiting, id) then return false end
  local number = redis.call('HINCRBY', keys.webhook(member), 'messages', 1)
  if redis.call('ZADD', keys.webhook_messages(member), number, id) == 0 then -- it has ended once
    redis.call('HDEL', message, 'code', 'error', 'ended_ms', 'first_ms', 'sent_ms')
    redis.call('ZREM', keys.webhook_ended(member), id)
  end
  local is_first = redis.call('RPUSH', keys.webhook_lane(member, lane), id) == 1
  if is_first then
    fields[#fields + 1], fields[#fields + 2] = 'next_ms', now
    redis.call('ZADD', keys.webhook_lanes(member), now, lane)
    redis.call('ZADD', keys.WEBHOOKS_DUE, 'LT', now, member)
  end
  redis.call('HSET', message, 'id', id, 'lane', lane, 'status', 'waiting', 'attempt', '0', 'number', number,
    'created_ms', now, unpack(fields))
  redis.call('ZADD', waiting, number, id)
  if number > MAX_WAITING and redis.call('ZCARD', waiting) > MAX_WAITING then
    local oldest = redis.call('ZRANGE', waiting, '0', '0')[1]
    local its_lane = redis.call('HGET', keys.webhook_message(member, oldest), 'lane')
    redis.call('HINCRBY', keys.webhook(member), 'dropped', 1)
    end_message(member, oldest, its_lane, redis.call('LRANGE', keys.webhook_lane(member, its_lane), '0', '1'), 'dropped',
      { 'error', int(MAX_WAITING) .. ' newer deliveries of this webhook wait' }, {})
  end
  return is_first
end

-- Send nothing more to a webhook. Its lanes are due at once, so that the sender ends what waits in them.
local function disable(member, reason)
  count_events(member, -1)
  redis.call('HSET', keys.webhook(member), 'enabled', '0', 'disabled_reason', reason, 'disabled_ms', now)
  for _, lane in ipairs(redis.call('ZRANGE', keys.webhook_lanes(member), '0', '-1')) do
    redis.call('ZADD', keys.webhook_lanes(member), now, lane)
  end
  update_due(member)
end
