#!lua flags=allow-oom
-- What a client requests of a job: a transition, or a checkpoint (with h.name, h.pinned; once for each idempotency key).
-- -> {'done'|'under_way', status} | {'same'} | {'illegal', status, allowed...} | {'gone'} | {'mismatch'} | {'deleted'} |
--    {'quota', name, used, limit, needed}
local member = h.member
local job = keys.job(member)
local j = redis.call('HMGET', job, 'status', 'tick', 'requested', 'stopped_by', 'kind', 'origin')
local status, requested = j[1], j[3]
if not status then return { 'gone' } end

local idempotency = keys.idempotency(tenant_of(member))
local replay = find_replay(idempotency, 'same')
if replay then return { replay[1] == 'gone' and 'deleted' or replay[1] } end

local RANKS = { pause = 1, stop = 2, cancel = 3 } -- a request is displaced by one of a higher rank alone
local function request(verb)
  if RANKS[verb] > (RANKS[requested] or 0) then
    redis.call('HSET', job, 'requested', verb)
    redis.call('HDEL', job, 'withdrawn')
    add_status_event(member)
  end
  return { 'under_way', status }
end

local function change_to(new, answer)
  redis.call('HSET', job, 'deaths', '0')
  set_status(member, new)
  return { answer, new }
end

-- Requested several times before one is made, one fulfils all: the latest name counts, pinned once is pinned.
local function request_checkpoint()
  local excess = find_quota_excess(tenant_of(member), 'artifact_bytes', 1)
  if excess then return excess end
  local before = cjson.decode(redis.call('HGET', job, 'wanted') or '{}')
  redis.call('HSET', job, 'wanted', cjson.encode({ name = h.name or before.name, pinned = h.pinned or before.pinned or false }))
  redis.call('HINCRBY', job, 'checkpoint_changes', 1)
  if h.idempotency_key then
    redis.call('HSET', idempotency, h.idempotency_key, id_of(member) .. ' ' .. h.body_digest)
    redis.call('HSET', keys.checkpoint_responses(member), h.idempotency_key, '')
    redis.call('HSET', keys.job_idempotency_keys(member), h.idempotency_key, h.body_digest)
  end
  return { 'under_way', status }
end

local function nothing_to_do() return { 'done', status } end

local transitions = {
  queued = {
    cancel = function() return change_to('cancelled', 'done') end,
    pause = function() return change_to('paused', 'done') end,
    resume = nothing_to_do,
    stop = j[2] ~= (j[6] or '0') and function() return request('stop') end or nil,
  },
  running = {
    cancel = function() return request('cancel') end,
    stop = function() return request('stop') end,
    pause = function() return request('pause') end,
    checkpoint = j[5] == 'train' and request_checkpoint or nil,
    resume = function()
      if requested == 'pause' then
        -- its owner may be acting on the pause already: then finish.lua queues the job of this term again
        redis.call('HSET', job, 'withdrawn', redis.call('HGET', job, 'term'))
        redis.call('HDEL', job, 'requested')
        add_status_event(member)
      end
      return nothing_to_do()
    end,
  },
  paused = {
    cancel = function() return change_to('cancelled', 'done') end,
    pause = nothing_to_do,
    resume = function() return change_to('queued', 'under_way') end,
    stop = function() redis.call('HSET', job, 'requested', 'stop'); return change_to('queued', 'under_way') end,
  },
  succeeded = { stop = j[4] == 'user' and nothing_to_do or nil },
  failed = {},
  cancelled = { cancel = nothing_to_do },
}
local act = transitions[status][h.verb]
if act then return act() end
local reply = { 'illegal', status }
for _, verb in ipairs({ 'cancel', 'stop', 'pause', 'resume' }) do
  if transitions[status][verb] then reply[#reply + 1] = verb end
end
return reply
