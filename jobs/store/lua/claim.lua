#!lua flags=allow-oom
-- The one way to become a job's owner: an expired lease first, then the head of the queue.
-- -> {'ok', member, term, tick, elapsed, attempt, requested, exact, spec, kind, parent, origin, end, fingerprint,
--     engine, canary, checkpoint...} | {'none'} | {'canary', threads}
local LOOK = 256 -- candidates looked at in one call

-- of an identity: 'graph-1 2.13.0 <canary> cpu 1' is of graph
local function engine_of(identity) return identity and string.match(identity, '^%a+') end

local function answer(member)
  local job = key(member)
  local j = redis.call('HMGET', job, 'term', 'tick', 'elapsed', 'attempt', 'requested', 'exact', 'spec', 'kind', 'parent', 'origin',
    'ticks_total', 'fingerprint', 'recorded', 'identity', 'canary', 'begun')
  local reply = { 'ok', member, j[1], j[2], j[3] or '0', j[4], j[5] or '', j[6], j[7], j[8], j[9] or '', j[10] or '0',
    j[11] or '', j[13] or j[12] or '', has_bits(j[2], j[8], j[16]) and engine_of(j[14]) or '', j[15] or '' }
  for _, text in ipairs(redis.call('HVALS', key(member, 'checkpoints'))) do reply[#reply + 1] = text end
  return reply
end

-- Whether bits of this identity come again whatever the canary: from a state on, the first weights being torch's.
local function is_portable(member, identity, kind, origin)
  if not string.find(identity or '', ' - ', 1, true) then return false end
  if kind == 'verify' then return origin ~= '0' end
  return redis.call('HLEN', key(member, 'checkpoints')) > 0
end

-- 'fit', 'inexact' (goes on, marked), 'unfit' (another worker's), or the answer that asks for a canary
local function fitness(member)
  local j = redis.call('HMGET', key(member), 'canary', 'threads', 'required', 'tick', 'kind', 'begun', 'identity', 'engine_asked',
    'memory', 'origin')
  if h.memory and tonumber(j[9] or '0') > h.memory then return 'unfit' end
  local bits = j[1] and has_bits(j[4], j[5], j[6])
  local engine = bits and engine_of(j[7]) or not bits and j[8]
  if engine and h.engines and not h.engines[engine] then return 'unfit' end
  if not bits then return 'fit' end
  local other = j[3] == '1' and 'unfit' or 'inexact'
  if h.engines and engine and h.engines[engine] ~= string.match(j[7], '^%S+ %S+') then return other end
  if is_portable(member, j[7], j[5], j[10]) then return 'fit' end
  local mine = h.canaries[j[2]]
  if not mine then return { 'canary', j[2] } end
  return mine == j[1] and 'fit' or other
end

local function fail_poisoned(member, deaths)
  local j = redis.call('HMGET', key(member), 'reason', 'tail')
  redis.call('HSET', key(member), 'error', cjson.encode({ type = 'poison',
    detail = 'given up: ' .. deaths .. ' attempts ended without a new tick; the last one: ' .. (j[1] or 'its lease ran out')
      .. (j[2] and '\nThe end of its log:\n' .. j[2] or '') }))
  move(member, 'failed')
end

-- What a client asked for while nobody could act on it. True when that settles the job.
local function settled(member)
  local j = redis.call('HMGET', key(member), 'requested', 'deaths')
  if j[1] == 'cancel' then move(member, 'cancelled'); return true end
  if j[1] == 'pause' then move(member, 'paused'); return true end
  if tonumber(j[2]) >= h.most_deaths then fail_poisoned(member, j[2]); return true end
  return false
end

local function take(member, fit)
  local job = key(member)
  local term = redis.call('HINCRBY', job, 'term', 1)
  local number = redis.call('HINCRBY', job, 'attempt', 1)
  local tick = tonumber(redis.call('HGET', job, 'tick'))
  redis.call('HINCRBY', job, 'deaths', 1)
  redis.call('HSETNX', job, 'started_ms', now)
  redis.call('HSET', job, 'owner', h.nonce, 'worker', h.worker, 'lease_ms', int(now + h.lease_ms))
  if fit == 'inexact' then
    redis.call('HSET', job, 'exact', '0', 'inexact_upto', int(tick))
    redis.call('HSETNX', job, 'inexact_from', int(tick + 1))
  end
  move(member, 'running')
  redis.call('HSET', job, 'phase', 'starting')
  redis.call('HDEL', job, 'rate_from', 'rate_to', 'error', 'reason', 'tail')
  redis.call('HSET', key(member, 'attempt:' .. number), 'number', number, 'worker', h.worker,
    'device', h.device, 'first_tick', int(tick + 1), 'last_tick', int(tick), 'replayed', '0', 'compared', '0', 'digests', '0', 'started_ms', now)
  redis.call('SET', 'claim:' .. h.nonce, member, 'EX', '3600')
  return answer(member), term
end

local again = redis.call('GET', 'claim:' .. h.nonce)
if again then
  local j = redis.call('HMGET', key(again), 'status', 'owner')
  if j[1] == 'running' and j[2] == h.nonce then return answer(again) end
  return { 'none' }
end

local function offered(member)
  local fit = fitness(member)
  if type(fit) == 'table' then return fit end
  if fit == 'unfit' then return nil end
  return (take(member, fit))
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', 'leases:' .. h.queue, '-inf', int(now), 'LIMIT', '0', int(LOOK))) do
  local ours = not newer(member)
  if ours then
    close_attempt(member, 'lost')
    tell(member, 'warning', 'the lease of worker ' .. (redis.call('HGET', key(member), 'worker') or '?') .. ' ran out')
  end
  if ours and not settled(member) then
    local reply = offered(member)
    if reply and reply[1] == 'ok' then return reply end
    move(member, 'queued') -- whoever is fit for it finds it there
    if reply then return reply end
  end
end
for _, member in ipairs(redis.call('ZRANGE', 'queued:' .. h.queue, '0', int(LOOK - 1))) do
  if not newer(member) and not settled(member) then
    local reply = offered(member)
    if reply then return reply end
  end
end
return { 'none' }
