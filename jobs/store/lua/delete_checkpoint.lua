#!lua flags=allow-oom
-- Remove a checkpoint's record, unless it is the last that a live job could resume from. With h.is_expired no client removes
-- it, but retention, which kept it for questions: unless one holds it still, or it is the newest or pinned by now.
-- -> {'ok', checkpoint} | {'gone'} | {'none'} | {'last', status} | {'held'}
local member = h.member
local job, checkpoints = keys.job(member), keys.checkpoints(member)
local status = redis.call('HGET', job, 'status')
if not status then return { 'gone' } end
local text = redis.call('HGET', checkpoints, int(h.tick))
local rest = {}
for tick in string.gmatch(redis.call('HGET', job, 'held') or '', '%S+') do
  if tick ~= int(h.tick) then rest[#rest + 1] = tonumber(tick) end
end
if h.is_expired and held_ticks(member)[int(h.tick)] then return { 'held' } end
if not text then set_kept_for_questions(member, rest); return { 'none' } end
if h.is_expired and (cjson.decode(text).pinned or redis.call('HGET', job, 'latest_checkpoint') == int(h.tick)) then
  set_kept_for_questions(member, rest)
  return { 'none' }
end
if not ENDED[status] and redis.call('HLEN', checkpoints) == 1 then return { 'last', status } end
set_kept_for_questions(member, rest)
local checkpoint = cjson.decode(text)
redis.call('HDEL', checkpoints, int(h.tick))
add_file_bytes(member, 'checkpoint_bytes', -own_bytes(checkpoint))
if not ENDED[status] and not h.is_expired then redis.call('SADD', keys.deleted_checkpoints(member), int(h.tick)) end -- so that a replay does not make it again
-- earlier best ones do not become the best again
if checkpoint.is_best and not h.is_expired then
  local best_gone = tonumber(redis.call('HGET', job, 'best_gone') or '-1')
  redis.call('HSET', job, 'best_gone', int(math.max(best_gone, h.tick)))
end
update_latest_checkpoint(member)
notify(member, 'n', 'checkpoints')
return { 'ok', text }
