#!lua flags=allow-oom
-- Record that an ended job's whole history is in files. -> {'ok'} | {'early', tick} | {'gone'}
local job = keys.job(h.member)
local j = redis.call('HMGET', job, 'status', 'tick', 'segments', 'kind')
if not j[1] then redis.call('SREM', keys.UNFINALIZED_JOBS, h.member); return { 'gone' } end
local recorded = j[4] == 'verify' and 0 or tonumber(j[2]) -- a verify records no tick
if not ENDED[j[1]] or tonumber(j[3]) * SEGMENT < recorded then return { 'early', j[2] } end
redis.call('HSET', job, 'sealed', '1')
redis.call('SREM', keys.UNFINALIZED_JOBS, h.member)
return { 'ok' }
