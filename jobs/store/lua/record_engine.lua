#!lua flags=allow-oom
-- Record what trains: engine, device, fingerprint. -> {'ok'} | {'unfit'} | fenced
local member = h.member
local job = keys.job(member)
local lost = check_lease(job)
if lost then return lost end
local j = redis.call('HMGET', job, 'identity', 'tick', 'required', 'attempt', 'kind', 'begun')
local has_ticks = j[1] and has_recorded_ticks(j[2], j[5], j[6])
if has_ticks and j[1] ~= h.identity then
  if j[3] == '1' then return { 'unfit' } end
  redis.call('HSET', job, 'exact', '0', 'inexact_upto', j[2])
  redis.call('HSETNX', job, 'inexact_from', int(j[2] + 1))
  add_log_event(member, 'warning', 'another fingerprint from tick ' .. int(j[2] + 1) .. ' on: ' .. h.identity .. ', it was ' .. j[1])
end
redis.call('HSET', job, 'engine', h.engine, 'device', h.device, 'fingerprint', h.fingerprint,
  'identity', h.identity)
-- an equal identity without a canary keeps the canary of the machine that drew the first weights
if not (has_ticks and j[1] == h.identity) then redis.call('HSET', job, 'canary', h.canary) end
redis.call('HSET', keys.attempt(member, j[4]), 'engine', h.engine, 'device', h.device, 'fingerprint', h.fingerprint)
notify(member, 'n', 'engine')
renew_lease(member, job)
return { 'ok' }
