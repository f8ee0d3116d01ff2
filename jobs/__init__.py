"""Crawl to documents to tokens, on Spark (DataFrame API). Knows nothing of Prefect or torch."""
