-- Files that may be removed now, some at a time. None of them can be taken any more: a path is made once.
-- -> {path, ...}
local due = redis.call('ZRANGEBYSCORE', keys.PENDING_BLOB_DELETIONS, '-inf', int(now), 'LIMIT', '0', '64')
return due
