-- A line of the log for a job's followers, by its owner; h.unwanted: the checkpoint that was asked
-- for will not be made. -> {'ok'} | fenced
local refused = fenced(key(h.member))
if refused then return refused end
tell(h.member, h.level, h.message)
if h.unwanted then drop_wanted(h.member, h.unwanted) end
return { 'ok' }
