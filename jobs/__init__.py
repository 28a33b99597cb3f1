"""What API and workers share: spec, states, keys, ledger, history, files, settings. No torch, no flask."""
