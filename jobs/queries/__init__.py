"""Reads of the store: jobs, events, notices, counts; also the register of live workers."""
