#!lua flags=allow-oom
-- The owner ends its lease and leaves the job in a status. -> {'ok', status} | {'short', tick} | fenced
local member = h.member
local job = keys.job(member)
local lost = check_lease(job)
if lost then
  -- sent twice: done already
  local j = redis.call('HMGET', job, 'status', 'term', 'owner')
  if j[1] == h.status and j[2] == int(h.term) and j[3] == h.nonce then return { 'ok', j[1] } end
  return lost
end
local j = redis.call('HMGET', job, 'tick', 'ticks_total', 'open_ended', 'requested', 'withdrawn', 'term')
if h.result and not h.file_bytes then -- a verify ends at the tick of its certificate
  redis.call('HSET', job, 'tick', int(h.tick))
  j[1] = int(h.tick)
end
if h.status == 'succeeded' then
  local is_complete = h.is_complete or h.stopped_by == 'budget' and j[3] == '0'
  local due = is_complete and j[2] or j[1]
  if int(h.tick) ~= j[1] or due ~= j[1] then return { 'short', j[1] } end
end
if h.stopped_by then redis.call('HSET', job, 'stopped_by', h.stopped_by) end
if h.error then redis.call('HSET', job, 'error', h.error) end
if h.result then redis.call('HSET', job, 'result', h.result) end
if h.file_bytes then add_file_bytes(member, 'history_bytes', h.file_bytes) end
if h.elapsed then redis.call('HSET', job, 'elapsed', h.elapsed) end -- of a predict or evaluate
if h.reason then redis.call('HSET', job, 'reason', h.reason) end
if h.tail then redis.call('HSET', job, 'tail', h.tail) end
local status = h.status
if status == 'queued' then
  redis.call('HDEL', job, 'rows_done', 'rows_total') -- the next begins again
  if h.reason == 'drain' then redis.call('HSET', job, 'deaths', '0') end
end
if status == 'queued' or status == 'paused' then
  -- nobody holds it now, so the last request is carried out at once; but a job paused by a fault stays paused
  if j[4] == 'cancel' then status = 'cancelled'
  elseif j[4] == 'pause' then status = 'paused'
  elseif not h.error and (j[4] == 'stop' or j[5] == j[6]) then status = 'queued' end
end
if h.status == 'paused' or status == 'paused' then redis.call('HSET', job, 'deaths', '0') end
if h.diverged then redis.call('HSET', keys.attempt(member, redis.call('HGET', job, 'attempt')), 'diverged', '1') end
if h.status == 'queued' and h.reason and h.reason ~= 'drain' then add_log_event(member, 'warning', h.reason) end
close_attempt(member, h.status == 'queued' and (h.reason or 'released') or status)
set_status(member, status)
return { 'ok', status }
