"""The one Spark session and how steps run on it; nobody else but the steps knows pyspark."""
