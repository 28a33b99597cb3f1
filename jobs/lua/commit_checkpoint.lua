#!lua flags=allow-oom
-- A checkpoint whose files are durable begins to count, others stop counting. -> {'ok'} | {'early', tick} | fenced
local member = h.member
local job = key(member)
local refused = fenced(job)
if refused then return refused end
local tick = redis.call('HGET', job, 'tick')
if h.tick > tonumber(tick) then return { 'early', tick } end
local kept = key(member, 'checkpoints')
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
local latest = 0
for _, t in ipairs(redis.call('HKEYS', kept)) do latest = math.max(latest, tonumber(t)) end
redis.call('HSET', job, 'latest_checkpoint', int(latest))
event(member, 'checkpoint', '{"tick":' .. int(h.tick) .. ',"is_best":' .. tostring(h.is_best) .. ',"is_final":' .. tostring(h.is_final) .. '}')
renew_lease(member, job)
return { 'ok' }
