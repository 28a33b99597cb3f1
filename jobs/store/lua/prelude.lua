-- Before every script: time, keys (the legend is jobs/store/keys.py), status changes, events.
-- Every script is sent as prelude + itself, its header (a JSON object) is ARGV[1]. All times are the server's.
local h = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local SCHEMA = '1' -- of a job's record; jobs/store/codec.py reads the same
local SEGMENT = 1048576
local ENDED = { succeeded = true, failed = true, cancelled = true }

local function int(n) return string.format('%d', n) end
local function key(member, part) return 'job:{' .. member .. '}' .. (part and ':' .. part or '') end
-- Whether a newer version has written a record: then nothing of it is read, and nothing written.
local function newer(member)
  local schema = redis.call('HGET', key(member), 'schema')
  return schema and schema ~= SCHEMA
end
if h.member and newer(h.member) then return { 'newer', h.member } end

local function tenant_of(member) return string.match(member, '^(.-)/') end
local function id_of(member) return string.match(member, '/(.*)$') end
local function dataset(tenant, id, part) return 'dataset:{' .. tenant .. '/' .. id .. '}' .. (part and ':' .. part or '') end
local function index(member, field, value)
  local tenant = tenant_of(member)
  return 'index:' .. tenant .. (field and ':' .. field .. ':' .. value or '')
end

-- What lists find a job by, beside its status: its name, its kind, its parent, each of its labels.
local function each_index(member, act)
  local j = redis.call('HMGET', key(member), 'name', 'kind', 'labels', 'parent')
  act(index(member, 'name', j[1]))
  act(index(member, 'kind', j[2]))
  if j[4] then act(index(member, 'parent', j[4])) end
  for label, value in pairs(cjson.decode(j[3])) do act(index(member, 'label', label .. ':' .. value)) end
end

local MOST_EVENTS = 10000 -- kept of one job; the oldest go, numbers stay
local MOST_LINES = 200 -- `log` events of one job

-- Wake who waits for this job: `t` a tick (with `l` its loss), `e` an event, `n` something else.
local function notice(member, kind, value, ...)
  redis.call('XADD', key(member, 'notices'), 'MAXLEN', '32', '*', kind, value, ...)
end

-- An event's data is JSON text; its number is its place among all the job ever had.
local function event(member, kind, data)
  local list, job = key(member, 'events'), key(member)
  local kept, dropped = redis.call('LLEN', list), tonumber(redis.call('HGET', job, 'events_dropped') or '0')
  local seq = dropped + kept + 1
  if kept >= MOST_EVENTS then
    redis.call('LPOP', list)
    redis.call('HINCRBY', job, 'events_dropped', 1)
  end
  redis.call('RPUSH', list, '{"seq":' .. int(seq) .. ',"at":' .. int(now) .. ',"type":"' .. kind .. '","data":' .. data .. '}')
  notice(member, 'e', int(seq))
end

-- A line of a job's log that its followers should see.
local function tell(member, level, message)
  local lines = redis.call('HINCRBY', key(member), 'log_events', 1)
  if lines > MOST_LINES then return end
  if lines == MOST_LINES then level, message = 'warning', 'more is told in the log alone' end
  event(member, 'log', cjson.encode({ level = level, message = message }))
end

-- Whether there are bits that those of a worker must be equal to: a verify's are its parent's. A job that had begun
-- before the store was lost (lua/restore.lua) has shown ticks, though none is known now.
local function has_bits(tick, kind, begun) return tick ~= '0' or kind == 'verify' or begun end

-- Two marks at least a second of training apart: the rate is what lies between the older and now.
local function mark_rate(job, newest, tick)
  local at = newest and tonumber(string.match(newest, ' (.*)$'))
  if at and tonumber(h.elapsed) - at < 1 then return end
  if newest then redis.call('HSET', job, 'rate_from', newest) end
  redis.call('HSET', job, 'rate_to', int(tick) .. ' ' .. h.elapsed)
end

local function json_or_null(text)
  if not text or text == '' then return 'null' end
  return text
end

local function quoted_or_null(text)
  if not text or text == '' then return 'null' end
  return '"' .. text .. '"'
end

local function status_event(member)
  local j = redis.call('HMGET', key(member), 'status', 'requested', 'stopped_by', 'error')
  event(member, 'status', '{"status":"' .. j[1] .. '","requested":' .. quoted_or_null(j[2])
    .. ',"stopped_by":' .. quoted_or_null(j[3]) .. ',"error":' .. json_or_null(j[4]) .. '}')
end

-- A checkpoint was asked for, and none will come.
local function drop_wanted(member, why)
  if redis.call('HDEL', key(member), 'wanted') == 1 then
    tell(member, 'warning', 'the checkpoint that was asked for is not made: ' .. why)
  end
end

-- Something about a job's checkpoints has changed: which is the newest, and how often that was so.
local function checkpoints_changed(member)
  local job, latest = key(member), -1
  for _, t in ipairs(redis.call('HKEYS', key(member, 'checkpoints'))) do latest = math.max(latest, tonumber(t)) end
  if latest >= 0 then redis.call('HSET', job, 'latest_checkpoint', int(latest)) else redis.call('HDEL', job, 'latest_checkpoint') end
  redis.call('HINCRBY', job, 'checkpoint_changes', 1)
end

-- Take a job out of the queued or leased set and put it where its new status belongs.
local function move(member, status)
  local job = key(member)
  local j = redis.call('HMGET', job, 'status', 'queue', 'rank', 'seq', 'lease_ms', 'attempt')
  redis.call('ZREM', 'queued:' .. j[2], member)
  redis.call('ZREM', 'leases:' .. j[2], member)
  if status == 'queued' then redis.call('ZADD', 'queued:' .. j[2], j[3], member) end
  if status == 'running' then redis.call('ZADD', 'leases:' .. j[2], j[5], member) end
  if j[1] then redis.call('ZREM', index(member, 'status', j[1]), id_of(member)) end
  redis.call('ZADD', index(member, 'status', status), j[4], id_of(member))
  redis.call('HSET', job, 'status', status)
  if status ~= 'running' then redis.call('HDEL', job, 'phase', 'worker') end
  if status == 'paused' then redis.call('HDEL', job, 'requested') end
  if status == 'paused' or ENDED[status] then drop_wanted(member, 'the job is ' .. status) end
  if ENDED[status] then
    redis.call('HDEL', job, 'requested')
    redis.call('HSET', job, 'finished_ms', now)
    redis.call('SADD', 'jobs:unsealed', member)
    for id in string.gmatch(redis.call('HGET', job, 'datasets') or '', '%S+') do
      redis.call('SREM', dataset(tenant_of(member), id, 'jobs'), id_of(member))
    end
  end
  status_event(member)
end

local function close_attempt(member, outcome)
  local number = redis.call('HGET', key(member), 'attempt')
  if number and number ~= '0' then
    local attempt = key(member, 'attempt:' .. number)
    if redis.call('HEXISTS', attempt, 'ended_ms') == 0 then
      redis.call('HSET', attempt, 'ended_ms', now, 'outcome', outcome)
    end
  end
end

-- The fence: nil when the lease shown holds, else the answer to give. Who shows none is fenced too.
local function fenced(job)
  local j = redis.call('HMGET', job, 'status', 'term', 'owner')
  if j[1] == 'running' and h.term and j[2] == int(h.term) and j[3] == h.nonce then return nil end
  return { 'fenced', j[1] or 'gone' }
end

local function renew_lease(member, job)
  local until_ms = now + h.lease_ms
  redis.call('HSET', job, 'lease_ms', int(until_ms))
  redis.call('ZADD', 'leases:' .. redis.call('HGET', job, 'queue'), int(until_ms), member)
end

-- All that is kept of a job beside its history: its record, the hashes of jobs/store/job_snapshot.py, deleted checkpoints, audit,
-- attempts, and the events beyond `after`. Hashes are flat.
local function snapshot(member, after)
  local attempts, told = {}, { redis.call('HGETALL', key(member)) }
  for n = 1, tonumber(redis.call('HGET', key(member), 'attempt')) do
    attempts[n] = redis.call('HGETALL', key(member, 'attempt:' .. int(n)))
  end
  for _, part in ipairs({ 'checkpoints', 'digests', 'answers', 'known' }) do
    told[#told + 1] = redis.call('HGETALL', key(member, part))
  end
  local dropped = tonumber(redis.call('HGET', key(member), 'events_dropped') or '0')
  told[#told + 1] = redis.call('SMEMBERS', key(member, 'removed'))
  told[#told + 1] = redis.call('LRANGE', key(member, 'audit'), '0', '-1')
  told[#told + 1] = attempts
  told[#told + 1] = redis.call('LRANGE', key(member, 'events'), int(math.max(0, after - dropped)), '-1')
  return told
end
