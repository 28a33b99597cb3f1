#!lua flags=allow-oom
-- Accept consecutive ticks of one segment: compare those already there bit by bit, add the rest.
-- ARGV after the header: the bytes of each of h.columns, then of h.rows, then of h.sparse.
-- -> {'ok', tick, requested, segment in files, checkpoint requested, uncompared_upto} |
--    {'gap', tick} | {'diverged', tick, column, recorded, offered} | fenced
local member = h.member
local job = keys.job(member)
local lost = check_lease(job)
if lost then return lost end
local j = redis.call('HMGET', job, 'tick', 'segments', 'columns', 'inexact_upto', 'attempt', 'rate_to', 'sparse', 'wanted')
local tick, segments_in_files = tonumber(j[1]), tonumber(j[2])
local uncompared_upto = tonumber(j[4] or '-1') -- ticks up to it have another fingerprint's bits: not compared
local first, last = h.first, h.first + h.count - 1
if first > tick + 1 then return { 'gap', int(tick) } end
local segment = math.floor(math.max(first - 1, 0) / SEGMENT)
local base = segment * SEGMENT

local function hex(bytes)
  return (string.gsub(bytes, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

-- the first tick from `from` to `upto` at which two runs of values differ, with both values
local function find_difference(from, upto, recorded, offered)
  for t = from, upto do
    local at = (t - from) * 4
    local a, b = string.sub(recorded, at + 1, at + 4), string.sub(offered, at + 1, at + 4)
    if a ~= b then return t, hex(a), hex(b) end
  end
end

local overlap = math.min(last, tick)
local from = math.max(first, uncompared_upto + 1)
if h.count > 0 and from <= overlap and segment >= segments_in_files then
  for i, name in ipairs(h.columns) do
    local recorded = redis.call('GETRANGE', keys.column(member, name, segment), int((from - 1 - base) * 4), int((overlap - base) * 4 - 1))
    local offered = string.sub(ARGV[1 + i], (from - first) * 4 + 1, (overlap - first + 1) * 4)
    if recorded ~= offered then
      local t, a, b = find_difference(from, overlap, recorded, offered)
      return { 'diverged', int(t), name, a, b }
    end
  end
end

-- sparse points of recorded ticks are compared, but for `time`, whose first value stays; a state's digest may come late,
-- since its checkpoint is written while the training goes on
local function tick_at(points, n) return (struct.unpack('<I8', points, (n - 1) * 16 + 1)) end
-- the value at this tick, else nil and how many points are before it; reads single points, however many are recorded
local function find_point(sparse, tick_wanted)
  local low, high = 1, redis.call('STRLEN', sparse) / 16
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local point = redis.call('GETRANGE', sparse, int(middle * 16 - 16), int(middle * 16 - 1))
    local t = tick_at(point, 1)
    if t == tick_wanted then return string.sub(point, 9) end
    if t < tick_wanted then low = middle + 1 else high = middle - 1 end
  end
  return nil, high
end
local function insert_point(sparse, point, t)
  local _, before = find_point(sparse, t)
  local later = redis.call('GETRANGE', sparse, int(before * 16), '-1')
  redis.call('SETRANGE', sparse, int(before * 16), point .. later)
end
local attempt = keys.attempt(member, j[5])
local a = redis.call('HMGET', attempt, 'first_tick', 'replayed_upto')
local first_new = tonumber(a[1] or '0') -- the first tick that was not recorded when this attempt began
local replayed_upto = tonumber(a[2] or '-1') -- counted as replayed already: a call may come twice
local added, digests = {}, 0
for i, name in ipairs(h.sparse) do
  local points = ARGV[1 + #h.columns + #h.rows + i]
  for n = 1, #points / 16 do
    local t = tick_at(points, n)
    local point_segment = math.floor(math.max(t - 1, 0) / SEGMENT)
    if t > math.max(last, tick) then return { 'gap', int(tick) } end
    if point_segment >= segments_in_files then
      local sparse = keys.sparse(member, name, point_segment)
      local size = redis.call('STRLEN', sparse)
      local newest = size > 0 and tick_at(redis.call('GETRANGE', sparse, int(size - 16), int(size - 1)), 1) or -1
      if t > newest then
        added[#added + 1] = { sparse, string.sub(points, n * 16 - 15, n * 16), name, t }
      elseif name ~= 'time' and t > uncompared_upto then
        local recorded = find_point(sparse, t)
        local offered = string.sub(points, n * 16 - 7, n * 16)
        if recorded and recorded ~= offered then return { 'diverged', int(t), name, hex(recorded), hex(offered) } end
        if recorded and name == 'state' and t < first_new and t > replayed_upto then digests = digests + 1 end
        if not recorded and name == 'state' then added[#added + 1] = { sparse, string.sub(points, n * 16 - 15, n * 16), name, t, true } end
      end
    end
  end
end

-- nothing is refused from here on
local new_ticks = last - tick
if new_ticks > 0 then
  for i, name in ipairs(h.columns) do
    local offered = string.sub(ARGV[1 + i], (tick + 1 - first) * 4 + 1)
    redis.call('SETRANGE', keys.column(member, name, segment), int((tick - base) * 4), offered)
    if name == 'loss' then redis.call('HSET', job, 'loss', string.sub(offered, -4)) end
  end
  if not j[3] then redis.call('HSET', job, 'columns', cjson.encode(h.columns)) end
  redis.call('HSET', job, 'tick', int(last), 'deaths', '0')
  if h.skipped and redis.call('HEXISTS', job, 'skipped') == 1 then redis.call('HINCRBY', job, 'skipped', 1) end
  redis.call('INCRBY', keys.TICKS, int(new_ticks))
end
if segment >= segments_in_files then
  for i, name in ipairs(h.rows) do
    redis.call('SETRANGE', keys.summary_rows(member, name, segment), int(h.row_at * 24), ARGV[1 + #h.columns + i])
  end
end
local names = j[7] or ''
local validated
for _, point in ipairs(added) do
  if point[5] then insert_point(point[1], point[2], point[4]) else redis.call('APPEND', point[1], point[2]) end
  if not string.find(names, ' ' .. point[3] .. ' ', 1, true) then names = names .. ' ' .. point[3] .. ' ' end
  if string.find(point[3], '^val_') or string.find(point[3], '^test_') then validated = point[4] end
end
if #added > 0 then redis.call('HSET', job, 'sparse', names) end

if h.best and redis.call('HGET', job, 'best') ~= h.best then notify(member, 'n', 'best') end
for _, name in ipairs({ 'phase', 'metrics', 'best' }) do
  if h[name] then redis.call('HSET', job, name, h[name]) end
end
if h.elapsed then
  redis.call('HSET', job, 'elapsed', h.elapsed)
  mark_rate(job, j[6], math.max(last, tick))
end
if new_ticks > 0 then redis.call('HSET', attempt, 'last_tick', int(last)) end
local from_replayed, upto = math.max(first, replayed_upto + 1), math.min(last, first_new - 1)
if h.count > 0 and from_replayed <= upto then
  redis.call('HINCRBY', attempt, 'replayed', int(upto - from_replayed + 1))
  redis.call('HINCRBY', attempt, 'compared', int(math.max(0, upto - math.max(from_replayed, uncompared_upto + 1) + 1)))
  redis.call('HSET', attempt, 'replayed_upto', int(upto))
  if digests > 0 then redis.call('HINCRBY', attempt, 'digests', int(digests)) end
end
if h.count > 0 then
  local audit = keys.audit(member)
  local claim = int(h.term) .. ' ' .. h.nonce .. ' '
  local entry = redis.call('LINDEX', audit, '-1')
  local began, reached = string.match(entry or '', ' (%d+) (%d+)$')
  if began and string.sub(entry, 1, #claim) == claim then
    redis.call('LSET', audit, '-1', claim .. began .. ' ' .. int(math.max(last, tonumber(reached))))
  else redis.call('RPUSH', audit, claim .. int(first) .. ' ' .. int(last)) end
end
if validated and h.metrics then
  add_event(member, 'validation', '{"tick":' .. int(validated) .. ',"metrics":' .. h.metrics .. '}')
  emit(member, 'job.validated', { tick = validated })
end
if #h.met > 0 then -- conditions that these ticks are the first to meet, as their owner found: each is told once
  local told = cjson.decode(redis.call('HGET', job, 'met') or '{}')
  for _, met in ipairs(h.met) do
    if not told[met[1]] then
      told[met[1]] = met[2]
      add_event(member, 'condition', met[3])
      emit(member, 'job.condition', { tick = met[2], detail = met[3] })
    end
  end
  redis.call('HSET', job, 'met', cjson.encode(told))
end
if new_ticks > 0 then notify(member, 't', int(last), 'l', redis.call('HGET', job, 'loss') or '') end
renew_lease(member, job)
return { 'ok', int(math.max(last, tick)), redis.call('HGET', job, 'requested') or '', segment < segments_in_files and '1' or '0',
  j[8] and '1' or '0', int(uncompared_upto) }
