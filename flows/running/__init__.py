"""How tasks are made: child processes, the Prefect task around each, the server of one run."""
