"""What API and workers share: spec, keys, ledger, history, files, settings. No torch, no flask."""
