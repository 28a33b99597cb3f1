"""The subcommands of `tickforge`, one file per noun."""
