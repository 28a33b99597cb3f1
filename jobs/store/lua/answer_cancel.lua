#!lua flags=allow-oom
-- Cancel an answer: at once if nobody works at it. -> {'done'} | {'under_way'} | {'illegal', status} | {'gone'}
local record = keys.answer(h.member)
local status = redis.call('HGET', record, 'status')
if not status then return { 'gone' } end
if status == 'queued' then end_answer(h.member, 'cancelled'); return { 'done' } end
if status == 'running' then
  redis.call('HSET', record, 'requested', 'cancel')
  notify(h.member, 's', status)
  return { 'under_way' }
end
if status == 'cancelled' then return { 'done' } end
return { 'illegal', status }
