"""Gristmill on this machine for longer than a run: Prefect's server, MLflow's, a worker that makes
what is scheduled or started from the page, and the deployments that the page shows."""
