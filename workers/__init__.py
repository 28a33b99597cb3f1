"""The side that hears a bell, claims a job and runs a trainer process. No torch, no flask."""
