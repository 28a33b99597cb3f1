#!lua flags=allow-oom
-- What a client asks of a job: a move, or a checkpoint (with h.name, h.pinned; once for each idempotency key).
-- -> {'done'|'under_way', status} | {'same'} | {'illegal', status, allowed...} | {'gone'} | {'mismatch'} | {'deleted'}
local member = h.member
local job = key(member)
local j = redis.call('HMGET', job, 'status', 'tick', 'requested', 'stopped_by', 'kind', 'origin')
local status, asked = j[1], j[3]
if not status then return { 'gone' } end

local known = 'idempotency:' .. tenant_of(member)
if h.idempotency_key then
  local had = redis.call('HGET', known, h.idempotency_key)
  if had then
    local id, digest = string.match(had, '^(%S+) (%S+)$')
    if id == 'deleted' then return { 'deleted' } end
    return { digest == h.body_digest and 'same' or 'mismatch' }
  end
end

local function ask(verb)
  if asked ~= 'cancel' and asked ~= verb then -- a cancel is never displaced
    redis.call('HSET', job, 'requested', verb)
    redis.call('HDEL', job, 'withdrawn')
    status_event(member)
  end
  return { 'under_way', status }
end

local function to(new, answer)
  if new == 'cancelled' or new == 'paused' or h.verb == 'resume' then redis.call('HDEL', job, 'requested') end
  redis.call('HSET', job, 'deaths', '0')
  move(member, new)
  return { answer, new }
end

-- Asked for several times before one is made, one serves all: the latest name counts, pinned once is pinned.
local function want()
  local before = cjson.decode(redis.call('HGET', job, 'wanted') or '{}')
  redis.call('HSET', job, 'wanted', cjson.encode({ name = h.name or before.name, pinned = h.pinned or before.pinned or false }))
  redis.call('HINCRBY', job, 'checkpoint_changes', 1)
  if h.idempotency_key then
    redis.call('HSET', known, h.idempotency_key, id_of(member) .. ' ' .. h.body_digest)
    redis.call('HSET', key(member, 'answers'), h.idempotency_key, '')
    redis.call('HSET', key(member, 'known'), h.idempotency_key, h.body_digest)
  end
  return { 'under_way', status }
end

local function done() return { 'done', status } end

local verbs = {
  queued = {
    cancel = function() return to('cancelled', 'done') end,
    pause = function() return to('paused', 'done') end,
    resume = done,
    stop = j[2] ~= (j[6] or '0') and function() return ask('stop') end or nil,
  },
  running = {
    cancel = function() return ask('cancel') end,
    stop = function() return ask('stop') end,
    pause = function() return ask('pause') end,
    checkpoint = j[5] == 'train' and want or nil,
    resume = function()
      if asked == 'pause' then
        -- its owner may be acting on the pause: this term's will go back to the queue
        redis.call('HSET', job, 'withdrawn', redis.call('HGET', job, 'term'))
        redis.call('HDEL', job, 'requested')
        status_event(member)
      end
      return done()
    end,
  },
  paused = {
    cancel = function() return to('cancelled', 'done') end,
    pause = done,
    resume = function() return to('queued', 'under_way') end,
    stop = function() redis.call('HSET', job, 'requested', 'stop'); return to('queued', 'under_way') end,
  },
  succeeded = { stop = j[4] == 'user' and done or nil },
  failed = {},
  cancelled = { cancel = done },
}
local act = verbs[status][h.verb]
if act then return act() end
local reply = { 'illegal', status }
for _, verb in ipairs({ 'cancel', 'stop', 'pause', 'resume' }) do
  if verbs[status][verb] then reply[#reply + 1] = verb end
end
return reply
