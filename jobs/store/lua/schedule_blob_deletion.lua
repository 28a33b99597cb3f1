-- Let a new file be removed in h.ms, unless a dataset takes it before. -> {'ok'}
redis.call('ZADD', keys.PENDING_BLOB_DELETIONS, int(now + h.ms), h.path)
return { 'ok' }
