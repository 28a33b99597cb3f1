#!lua flags=allow-oom
-- A checkpoint whose files are durable begins to count, others stop counting.
-- Only if nothing about them has changed since the owner looked (h.changes), where it says so.
-- -> {'ok'} | {'early', tick} | {'changed'} | fenced
local member = h.member
local job = key(member)
local refused = fenced(job)
if refused then return refused end
local tick = redis.call('HGET', job, 'tick')
if h.tick > tonumber(tick) then return { 'early', tick } end
local kept = key(member, 'checkpoints')
if redis.call('HGET', kept, int(h.tick)) == ARGV[2] then -- sent twice
  renew_lease(member, job)
  return { 'ok' }
end
local changes = redis.call('HGET', job, 'checkpoint_changes') or '0'
if h.changes and int(h.changes) ~= changes then return { 'changed' } end
local dropped = h.drop
dropped[#dropped + 1] = h.tick
for _, t in ipairs(dropped) do
  local had = redis.call('HGET', kept, int(t))
  if had then
    redis.call('HINCRBY', job, 'checkpoint_bytes', int(-cjson.decode(had).bytes))
    redis.call('HDEL', kept, int(t))
  end
end
redis.call('HSET', kept, int(h.tick), ARGV[2])
redis.call('HINCRBY', job, 'checkpoint_bytes', int(h.bytes))
redis.call('SREM', key(member, 'removed'), int(h.tick))
if h.is_best and h.tick == tonumber(redis.call('HGET', job, 'best_gone') or '-1') then redis.call('HDEL', job, 'best_gone') end
if h.serves then redis.call('HDEL', job, 'wanted') end
checkpoints_changed(member)
event(member, 'checkpoint', '{"tick":' .. int(h.tick) .. ',"is_best":' .. tostring(h.is_best) .. ',"is_final":' .. tostring(h.is_final) .. '}')
renew_lease(member, job)
return { 'ok' }
