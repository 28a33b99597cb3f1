#!lua flags=allow-oom
-- What a client asks of a job. -> {'done'|'under_way', status} | {'illegal', status, allowed...} | {'gone'}
local member = h.member
local job = key(member)
local j = redis.call('HMGET', job, 'status', 'tick', 'requested', 'stopped_by')
local status, asked = j[1], j[3]
if not status then return { 'gone' } end

local function ask(verb)
  if asked ~= 'cancel' and asked ~= verb then -- a cancel is never displaced
    redis.call('HSET', job, 'requested', verb)
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

local function done() return { 'done', status } end

local verbs = {
  queued = {
    cancel = function() return to('cancelled', 'done') end,
    pause = function() return to('paused', 'done') end,
    resume = done,
    stop = j[2] ~= '0' and function() return ask('stop') end or nil,
  },
  running = {
    cancel = function() return ask('cancel') end,
    stop = function() return ask('stop') end,
    pause = function() return ask('pause') end,
    resume = function()
      if asked == 'pause' then redis.call('HDEL', job, 'requested'); status_event(member) end
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
