"""Ways to execute k ticks: one engine a module, all with the one interface of chunk.py."""
