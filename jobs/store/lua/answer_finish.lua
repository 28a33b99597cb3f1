#!lua flags=allow-oom
-- The owner ends an answer as h.status, with ARGV[2] as its h.field (result or error); or gives it back (queued), since
-- h.reason. -> {'ok', status} | fenced
local lost = check_answer_lease(h.member)
if lost then
  if lost[2] == h.status and redis.call('HGET', keys.answer(h.member), 'owner') == h.nonce then return { 'ok', h.status } end
  return lost
end
if h.reason == 'drain' then redis.call('HINCRBY', keys.answer(h.member), 'attempt', -1) end -- no fault of the answer's
if h.status == 'queued' then return { 'ok', give_back_answer(h.member, h.max_attempts, h.reason) } end
end_answer(h.member, h.status, h.field, ARGV[2])
return { 'ok', h.status }
