#!lua flags=allow-oom
-- Become a job's owner: of one whose lease is over, or of the first in the queue.
-- -> {'ok', member, term, tick, elapsed, attempt, requested, exact, spec, kind, parent, origin, end, fingerprint,
--     engine, canary, checkpoint...} | {'none'} | {'canary', threads}
local MAX_CANDIDATES = 256 -- in one call
local worker = { memory = h.memory, engines = h.engines, canaries = h.canaries }

local function answer(member)
  local job = keys.job(member)
  local j = redis.call('HMGET', job, 'term', 'tick', 'elapsed', 'attempt', 'requested', 'exact', 'spec', 'kind', 'parent', 'origin',
    'ticks_total', 'fingerprint', 'recorded', 'identity', 'canary', 'begun')
  local reply = { 'ok', member, j[1], j[2], j[3] or '0', j[4], j[5] or '', j[6], j[7], j[8], j[9] or '', j[10] or '0',
    j[11] or '', j[13] or j[12] or '', has_recorded_ticks(j[2], j[8], j[16]) and engine_of(j[14]) or '', j[15] or '' }
  for _, text in ipairs(redis.call('HVALS', keys.checkpoints(member))) do reply[#reply + 1] = text end
  return reply
end

local function fail_poisoned(member, deaths)
  local j = redis.call('HMGET', keys.job(member), 'reason', 'tail', 'question')
  redis.call('HSET', keys.job(member), 'error', cjson.encode({ type = 'poison',
    detail = 'given up: ' .. deaths .. ' attempts ended without ' .. (j[3] and 'an answer' or 'a new tick') .. '; the last one: ' .. (j[1] or 'its lease ran out')
      .. (j[2] and '\nThe end of its log:\n' .. j[2] or '') }))
  set_status(member, 'failed')
end

-- Do what is requested of a job that nobody holds now, or give up a poisoned one. True when that settles it.
local function settle(member)
  local j = redis.call('HMGET', keys.job(member), 'requested', 'deaths')
  if j[1] == 'cancel' then set_status(member, 'cancelled'); return true end
  if j[1] == 'pause' then set_status(member, 'paused'); return true end
  if tonumber(j[2]) >= h.max_attempts_without_progress then fail_poisoned(member, j[2]); return true end
  return false
end

local function take(member, fit)
  local job = keys.job(member)
  redis.call('HINCRBY', job, 'term', 1)
  local number = redis.call('HINCRBY', job, 'attempt', 1)
  local tick = tonumber(redis.call('HGET', job, 'tick'))
  redis.call('HINCRBY', job, 'deaths', 1)
  local is_first = redis.call('HSETNX', job, 'started_ms', now) == 1
  redis.call('HSET', job, 'owner', h.nonce, 'worker', h.worker, 'lease_ms', int(now + h.lease_ms))
  if fit == 'inexact' then
    redis.call('HSET', job, 'exact', '0', 'inexact_upto', int(tick))
    redis.call('HSETNX', job, 'inexact_from', int(tick + 1))
  end
  set_status(member, 'running')
  redis.call('HSET', job, 'phase', 'starting')
  redis.call('HDEL', job, 'rate_from', 'rate_to', 'error', 'reason', 'tail', 'rows_done', 'rows_total')
  redis.call('HSET', keys.attempt(member, number), 'number', number, 'worker', h.worker,
    'device', h.device, 'first_tick', int(tick + 1), 'last_tick', int(tick), 'replayed', '0', 'compared', '0', 'digests', '0', 'started_ms', now)
  redis.call('SET', keys.claim(h.nonce), member, 'EX', '3600')
  if is_first then emit(member, 'job.started') end
  return answer(member)
end

local claimed = redis.call('GET', keys.claim(h.nonce))
if claimed then
  local j = redis.call('HMGET', keys.job(claimed), 'status', 'owner')
  if j[1] == 'running' and j[2] == h.nonce then return answer(claimed) end
  return { 'none' }
end

-- Take a job that the worker is fit for, or ask for its canary; nil where only another worker may take it.
local function try_take(member)
  local needs = read_needs(member)
  local fit = fitness(needs, worker)
  if fit == 'unmeasured' then return { 'canary', needs.threads } end
  if fit == 'unfit' or fit == 'small' then return nil end
  return take(member, fit)
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', keys.leases(h.queue), '-inf', int(now), 'LIMIT', '0', int(MAX_CANDIDATES))) do
  local is_readable = not has_newer_schema(member)
  if is_readable then
    close_attempt(member, 'lost')
    add_log_event(member, 'warning', 'the lease of worker ' .. (redis.call('HGET', keys.job(member), 'worker') or '?') .. ' ran out')
  end
  if is_readable and not settle(member) then
    local reply = try_take(member)
    if reply and reply[1] == 'ok' then return reply end
    set_status(member, 'queued') -- another worker may be fit for it
    if reply then return reply end
  end
end
-- Whether a tenant has as many running jobs as it may have; a script that takes a job is over.
local is_full = {}
local function must_wait(tenant)
  if is_full[tenant] == nil then is_full[tenant] = count_free_places(tenant) == 0 end
  return is_full[tenant]
end

-- The first queued jobs, by rank, of each tenant that need not wait.
local function read_heads_of_queues()
  local tenants, heads = redis.call('SMEMBERS', keys.waiting_tenants(h.queue)), {}
  local each = math.max(4, math.floor(MAX_CANDIDATES / #tenants))
  for _, tenant in ipairs(tenants) do
    if not must_wait(tenant) then
      local flat = redis.call('ZRANGE', keys.tenant_queue(h.queue, tenant), '0', int(each - 1), 'WITHSCORES')
      for n = 1, #flat, 2 do heads[#heads + 1] = { flat[n], tonumber(flat[n + 1]) } end
    end
  end
  table.sort(heads, function(a, b) return a[2] < b[2] end)
  for n, head in ipairs(heads) do heads[n] = head[1] end
  return heads
end

-- Take the first of these queued jobs that may run and this worker is fit for. -> reply or nil, whether one had to wait
local function take_first(members)
  local has_waiting = false
  for _, member in ipairs(members) do
    if must_wait(tenant_of(member)) then has_waiting = true
    elseif not has_newer_schema(member) and not settle(member) then
      local reply = try_take(member)
      if reply then return reply end
    end
  end
  return nil, has_waiting
end

local reply, has_waiting = take_first(redis.call('ZRANGE', keys.queued_jobs(h.queue), '0', int(MAX_CANDIDATES - 1)))
-- a tenant at its quota may have more jobs at the head of the queue than are looked at: others overtake them
if not reply and has_waiting then reply = take_first(read_heads_of_queues()) end
return reply or { 'none' }
