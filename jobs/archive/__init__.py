"""Records of jobs, keys and datasets as files, from which a lost store is rebuilt."""
