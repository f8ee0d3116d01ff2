"""The environment, read in one place.

Parameters say what a run computes; settings say where it runs. No setting changes a result or
enters a digest.
"""

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is read from the environment variable named in its alias."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    spark_master: str = Field(
        "local[*]", alias="SPARK_MASTER", description="where Spark runs: local[n], spark://, k8s://"
    )
    spark_driver_memory: str = Field(
        "4g", alias="GRISTMILL_DRIVER_MEMORY", description="heap of the Spark driver"
    )
    spark_environment: str = Field(
        "",
        alias="GRISTMILL_SPARK_ENVIRONMENT",
        description="archive of the Python environment for executors elsewhere (venv-pack)",
    )
    spark_conf: str = Field(
        "",
        alias="GRISTMILL_SPARK_CONF",
        description="more Spark settings, `key=value` separated by `;`",
    )
    s3_endpoint: str | None = Field(
        None, alias="AWS_ENDPOINT_URL", description="S3 endpoint other than AWS's own"
    )
    s3_region: str = Field("us-east-1", alias="AWS_DEFAULT_REGION", description="S3 region")
    mlflow_tracking_uri: str | None = Field(
        None, alias="MLFLOW_TRACKING_URI", description="default: SQLite in the lake"
    )
    mlflow_page: str = Field(
        "", alias="MLFLOW_PAGE_URL", description="MLflow's address for a browser, where it differs"
    )
    logs: Path = Field(
        Path("logs"),
        alias="GRISTMILL_LOGS",
        description="directory of the child processes' log files",
    )
    secrets: Path = Field(
        Path("~/.config/gristmill/servers.env"),
        alias="GRISTMILL_SECRETS",
        description="file with the passwords of the servers on this machine",
    )
    state: Path = Field(
        Path("~/.local/state/gristmill/up.json"),
        alias="GRISTMILL_STATE",
        description="file in which `gristmill up` says what it has brought up",
    )
    allow_local_addresses: bool = Field(
        False,
        alias="GRISTMILL_ALLOW_LOCAL_ADDRESSES",
        description="whether http(s) inputs may be on this machine or its link (cloud metadata)",
    )


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()  # type: ignore[call-arg]
