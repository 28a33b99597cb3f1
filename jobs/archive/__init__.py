"""What a lost store is rebuilt from: records of jobs, keys, datasets. Import modules, not this."""
