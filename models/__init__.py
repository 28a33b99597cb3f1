"""Networks, norms and their configs. Knows no job and no tick."""
