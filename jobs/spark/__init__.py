"""The one Spark session and how steps run on it; nobody else knows pyspark but the steps themselves."""
