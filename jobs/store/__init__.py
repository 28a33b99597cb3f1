"""Redis, and nothing but Redis: connection, keys, scripts, codec, cursors."""
