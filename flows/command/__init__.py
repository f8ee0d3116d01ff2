"""The command `gristmill`: its subcommands, options and what it prints."""
