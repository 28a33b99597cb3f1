-- Make a job whose record and lists were written back one that is found: indexes, sets, sequence, what it uses.
-- What ran has no worker now: it goes back to its queue. -> {'ok', status}
local member = h.member
local job = key(member)
local tenant, id = tenant_of(member), id_of(member)
local j = redis.call('HMGET', job, 'status', 'seq', 'queue', 'rank', 'tick', 'segments', 'datasets', 'columns')
local status = j[1]
redis.call('SADD', 'queues', j[3])
redis.call('SADD', 'jobs:tenants', tenant)
each_index(member, function(where) redis.call('ZADD', where, j[2], id) end)
redis.call('ZADD', index(member), j[2], id)
redis.call('ZADD', index(member, 'status', status), j[2], id)
if not ENDED[status] then
  for each in string.gmatch(j[7] or '', '%S+') do redis.call('SADD', dataset(tenant, each, 'jobs'), id) end
elseif j[8] and tonumber(j[6]) * SEGMENT < tonumber(j[5]) then redis.call('SADD', 'jobs:unsealed', member)
else redis.call('HSET', job, 'sealed', '1') end
if status == 'queued' then redis.call('ZADD', 'queued:' .. j[3], j[4], member) end
if status == 'running' then
  redis.call('HSET', job, 'deaths', '0', 'begun', '1')
  redis.call('HDEL', job, 'rate_from', 'rate_to')
  close_attempt(member, 'lost')
  tell(member, 'warning', 'the store was lost and built again: known are the ticks up to ' .. j[5] .. ', later ones are run again')
  move(member, 'queued')
end
local known = redis.call('HGETALL', key(member, 'known'))
for n = 1, #known, 2 do redis.call('HSET', 'idempotency:' .. tenant, known[n], id .. ' ' .. known[n + 1]) end
if tonumber(redis.call('GET', 'jobs:sequence') or '0') < tonumber(j[2]) then redis.call('SET', 'jobs:sequence', j[2]) end
if j[8] then redis.call('INCRBY', 'jobs:ticks', j[5]) end
return { 'ok', redis.call('HGET', job, 'status') }
