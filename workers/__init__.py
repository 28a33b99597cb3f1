"""Workers: claim jobs and run each in a trainer process. No torch, no flask."""
