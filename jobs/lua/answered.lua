#!lua flags=allow-oom
-- Keep the first answer to a submission. -> {'ok'} | {'gone'}
if redis.call('EXISTS', key(h.member)) == 0 then return { 'gone' } end
redis.call('HSETNX', key(h.member), 'answer', ARGV[2])
return { 'ok' }
