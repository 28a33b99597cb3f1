-- Shared by the scripts that ask of checkpoints or remove them, after prelude.lua. A question that waits or runs holds its
-- checkpoint: retention keeps it until the question has ended. Who asked is looked up each time, so nobody who died holds one.
local MAX_HELD = 32 -- checkpoints of a job that questions alone keep; a new one is refused then

local function holds_now(answer)
  local j = redis.call('HMGET', keys.answer(answer), 'status', 'hold_ms', 'finished_ms')
  if j[1] == 'queued' or j[1] == 'running' then return true end
  return j[1] == 'succeeded' and j[2] and now - tonumber(j[3]) < tonumber(j[2])
end

-- The ticks that are held, as keys: by answers, and by live jobs about a checkpoint. A fork has copies.
local function held_ticks(member)
  local held, holds, tenant = {}, keys.checkpoint_holds(member), tenant_of(member)
  local entries = redis.call('HGETALL', holds)
  for n = 1, #entries, 2 do
    if holds_now(keys.job_member(tenant, entries[n])) then held[entries[n + 1]] = true
    else redis.call('HDEL', holds, entries[n]) end
  end
  local children = keys.job_index(tenant, 'parent', id_of(member))
  for _, status in ipairs({ 'queued', 'running', 'paused' }) do
    for _, id in ipairs(redis.call('ZINTER', '2', children, status_index(member, status))) do
      local j = redis.call('HMGET', keys.job(keys.job_member(tenant, id)), 'kind', 'origin')
      if j[1] ~= 'train' and j[2] then held[j[2]] = true end
    end
  end
  return held
end

-- Note which checkpoints are kept for questions alone.
local function set_kept_for_questions(member, ticks)
  if #ticks == 0 then
    redis.call('HDEL', keys.job(member), 'held')
    redis.call('SREM', keys.HELD_CHECKPOINTS, member)
    return
  end
  local texts = {}
  for n, tick in ipairs(ticks) do texts[n] = int(tick) end
  redis.call('HSET', keys.job(member), 'held', table.concat(texts, ' '))
  redis.call('SADD', keys.HELD_CHECKPOINTS, member)
end

-- nil if a checkpoint may be asked of: it is there, and questions do not keep too many; else { 'moved' } | { 'held', most }.
local function find_hold_refusal(member, tick, folder)
  local text = redis.call('HGET', keys.checkpoints(member), int(tick))
  if not text or cjson.decode(text).folder ~= folder then return { 'moved' } end
  local kept = redis.call('HGET', keys.job(member), 'held')
  if not kept then return nil end
  local held, count = held_ticks(member), 0
  if held[int(tick)] then return nil end
  for other in string.gmatch(kept, '%S+') do if held[other] then count = count + 1 end end
  if count >= MAX_HELD then return { 'held', int(MAX_HELD) } end
end
