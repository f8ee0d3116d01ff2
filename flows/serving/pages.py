"""The servers whose pages are looked at: where they listen, and how Prefect's is started."""

from enum import StrEnum

HOST = "127.0.0.1"
PREFECT_PASSWORDS = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
"""What Prefect's server asks for, and what its own services say to it: the same."""


class Server(StrEnum):
    """What can be served."""

    PREFECT = "prefect"
    MLFLOW = "mlflow"


PORTS = {Server.PREFECT: 4200, Server.MLFLOW: 5000}


def prefect_server(port: int, known: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Module and arguments of Prefect's server, and its environment."""
    page = f"http://{HOST}:{port}"
    environment = {
        **dict.fromkeys(PREFECT_PASSWORDS, known["PREFECT_API_AUTH_STRING"]),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page,
        "PREFECT_SERVER_UI_API_URL": f"{page}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # seconds; SQLite on a busy machine
    }
    return ["prefect", "server", "start", "--host", HOST, "--port", str(port)], environment
