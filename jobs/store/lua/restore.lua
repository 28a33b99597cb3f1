-- Make a job whose record and lists were written back findable: indexes, sets, sequence, the datasets that it uses.
-- One that ran has no worker now and goes back to its queue. What the lost store had shown of it beyond its record is not
-- known, so new events and attempts have numbers from h.base on. -> {'ok', status}
local RESENT_MS = 259200000 -- three days: whether webhooks were told of an end since then is not known either
local member = h.member
local job = keys.job(member)
local tenant, id = tenant_of(member), id_of(member)
local j = redis.call('HMGET', job, 'status', 'seq', 'queue', 'rank', 'tick', 'segments', 'datasets', 'columns',
  'events_dropped', 'attempt', 'rebuilds', 'canary', 'origin', 'held')
local status = j[1]
local counts = int(tonumber(j[9] or '0') + redis.call('LLEN', keys.events(member))) .. ':' .. int(j[10] or '0')
local rebuilds = string.gsub(j[11] or '', ' ?%d+:' .. counts .. '$', '') -- nothing was added since that one
redis.call('HSET', job, 'rebuilds', (rebuilds ~= '' and rebuilds .. ' ' or '') .. int(h.base) .. ':' .. counts)
if redis.call('HEXISTS', job, 'question') == 0 then redis.call('SADD', keys.QUEUES, j[3]) end
redis.call('SADD', keys.TENANTS, tenant)
if j[14] then redis.call('SADD', keys.HELD_CHECKPOINTS, member) end
for_each_index(member, function(index) redis.call('ZADD', index, j[2], id) end)
redis.call('ZADD', keys.job_index(tenant), j[2], id)
redis.call('ZADD', status_index(member, status), j[2], id)
if not ENDED[status] then
  for used in string.gmatch(j[7] or '', '%S+') do redis.call('SADD', keys.dataset_jobs(tenant, used), id) end
elseif j[8] and tonumber(j[6]) * SEGMENT < tonumber(j[5]) then redis.call('SADD', keys.UNFINALIZED_JOBS, member)
else redis.call('HSET', job, 'sealed', '1') end
if status == 'queued' then enqueue(member, j[3], j[4]) end
if j[12] and not ENDED[status] then redis.call('HSET', job, 'begun', '1') end
if status == 'running' then
  redis.call('HSET', job, 'deaths', '0')
  redis.call('HDEL', job, 'rate_from', 'rate_to')
  close_attempt(member, 'lost')
  add_log_event(member, 'warning', 'the store was lost and built again: known are the ticks up to ' .. j[5] .. ', later ones are run again')
  set_status(member, 'queued')
end
local used = redis.call('HGETALL', keys.job_idempotency_keys(member))
for n = 1, #used, 2 do redis.call('HSET', keys.idempotency(tenant), used[n], id .. ' ' .. used[n + 1]) end
if tonumber(redis.call('GET', keys.SEQUENCE) or '0') < tonumber(j[2]) then redis.call('SET', keys.SEQUENCE, j[2]) end
if j[8] then redis.call('INCRBY', keys.TICKS, int(tonumber(j[5]) - tonumber(j[13] or '0'))) end -- a fork's own ticks
local finished_ms = ENDED[status] and tonumber(redis.call('HGET', job, 'finished_ms') or '0')
if finished_ms and now - finished_ms <= RESENT_MS then emit(member, 'job.' .. status, { at = finished_ms }) end
return { 'ok', redis.call('HGET', job, 'status') }
