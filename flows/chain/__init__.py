"""From parameters to the tasks of a run, known in full before anything runs."""
