#!lua flags=allow-oom
-- Change the descriptive fields and the priority of a job. -> {'ok'} | {'gone'}
local member = h.member
local job = keys.job(member)
local j = redis.call('HMGET', job, 'status', 'seq', 'queue')
if not j[1] then return { 'gone' } end
for_each_index(member, function(index) redis.call('ZREM', index, id_of(member)) end)
for name, value in pairs(h.fields) do redis.call('HSET', job, name, value) end
for_each_index(member, function(index) redis.call('ZADD', index, j[2], id_of(member)) end)
if h.priority then
  local rank = int(-h.priority * 17592186044416 + j[2])
  redis.call('HSET', job, 'priority', int(h.priority), 'rank', rank)
  if j[1] == 'queued' then enqueue(member, j[3], rank) end
end
notify(member, 'n', 'patch')
return { 'ok' }
