#!lua flags=allow-oom
-- Commit a checkpoint whose files are durable, and remove others' records. With h.change_count only if the set has
-- not changed since the owner read it; never one that a question holds by now. h.held: those that it would remove otherwise.
-- -> {'ok'} | {'early', tick} | {'changed'} | fenced
local member = h.member
local job = keys.job(member)
local lost = check_lease(job)
if lost then return lost end
local tick = redis.call('HGET', job, 'tick')
if h.tick > tonumber(tick) then return { 'early', tick } end
local checkpoints = keys.checkpoints(member)
if redis.call('HGET', checkpoints, int(h.tick)) == ARGV[2] then -- sent twice
  renew_lease(member, job)
  return { 'ok' }
end
local changes = redis.call('HGET', job, 'checkpoint_changes') or '0'
if h.change_count and int(h.change_count) ~= changes then return { 'changed' } end
local held = #h.drop > 0 and held_ticks(member) or {}
for _, t in ipairs(h.drop) do if held[int(t)] then return { 'changed' } end end
set_kept_for_questions(member, h.held or {})
local dropped = h.drop
dropped[#dropped + 1] = h.tick
for _, t in ipairs(dropped) do
  local old = redis.call('HGET', checkpoints, int(t))
  if old then
    add_file_bytes(member, 'checkpoint_bytes', -own_bytes(cjson.decode(old)))
    redis.call('HDEL', checkpoints, int(t))
  end
end
redis.call('HSET', checkpoints, int(h.tick), ARGV[2])
local checkpoint = cjson.decode(ARGV[2])
add_file_bytes(member, 'checkpoint_bytes', own_bytes(checkpoint))
-- shared code counts once, and stays as long as the job
local code = redis.call('HGET', job, 'code') or ''
for _, file in ipairs((checkpoint.shared_bytes or 0) > 0 and checkpoint.files or {}) do
  if file.name == 'model.py' and not string.find(code, file.sha256, 1, true) then
    code = code .. file.sha256 .. ' '
    redis.call('HSET', job, 'code', code)
    add_file_bytes(member, 'code_bytes', file.bytes)
  end
end
redis.call('SREM', keys.deleted_checkpoints(member), int(h.tick))
if h.is_best and h.tick == tonumber(redis.call('HGET', job, 'best_gone') or '-1') then redis.call('HDEL', job, 'best_gone') end
if h.fulfils_request then redis.call('HDEL', job, 'wanted') end
update_latest_checkpoint(member)
add_event(member, 'checkpoint', '{"tick":' .. int(h.tick) .. ',"is_best":' .. tostring(h.is_best) .. ',"is_final":' .. tostring(h.is_final) .. '}')
emit(member, 'job.checkpointed', { tick = h.tick })
renew_lease(member, job)
return { 'ok' }
