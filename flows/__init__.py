"""What runs, in which order, with which parameters. Prefect lives here and nowhere else."""
