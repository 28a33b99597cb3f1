-- A line of the log for a job's followers, by its owner. -> {'ok'} | fenced
local refused = fenced(key(h.member))
if refused then return refused end
tell(h.member, h.level, h.message)
return { 'ok' }
