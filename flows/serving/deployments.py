"""The one-shot set-up of a Prefect server: work pool and deployments, as `prefect.yaml` says.

Called again it changes what the file changed, and keeps what a user set on the page: schedules
(switched on or off, another time, removed) and the parameters of a deployment. `prefect deploy`
alone puts both back to the file's.

    python -m flows.serving.deployments     once PREFECT_API_URL answers; PREFECT_API_AUTH_STRING
"""

import asyncio
import os
import sys
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentUpdate,
    WorkPoolCreate,
)
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL

from flows.running.children import code_path, log_file
from infra.errors import GristmillError
from infra.failures import failure
from infra.process import run

POOL = "gristmill"
HOME = Path(__file__).parents[2]
ANSWER_SECONDS = 120.0
KEPT = {"schedule", "active", "max_scheduled_runs", "parameters", "slug"}


async def set_up() -> list[str]:
    """The names of the deployments that are there now. Raises GristmillError in one line."""
    async with get_client() as client:
        await answering(client)
        await make_pool(client)
        before = {deployment.id: deployment for deployment in await of_the_pool(client)}
        deploy()
        made = await of_the_pool(client)
        for deployment in made:
            if deployment.id in before:
                await put_back(client, deployment, before[deployment.id])
        return sorted(deployment.name for deployment in made)


async def of_the_pool(client: PrefectClient) -> list[DeploymentResponse]:
    """The deployments that run in our pool."""
    in_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    return await client.read_deployments(work_pool_filter=in_pool)


async def answering(client: PrefectClient) -> None:
    """Wait for the server, which may be starting beside this."""
    for _ in range(int(ANSWER_SECONDS)):
        error = await client.api_healthcheck()
        if error is None:
            return
        if isinstance(error, httpx.HTTPStatusError):
            break
        await asyncio.sleep(1.0)
    raise failure(f"Prefect's server at {PREFECT_API_URL.value()}", f"Failed to reach API: {error}")


async def make_pool(client: PrefectClient) -> None:
    """The work pool, unless it is there."""
    try:
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    except ObjectAlreadyExists:
        return


def deploy() -> None:
    """`prefect deploy --all`."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    for _ in run(command, log_file("deploy"), "prefect deploy", code_path()):
        pass


async def put_back(
    client: PrefectClient, made: DeploymentResponse, before: DeploymentResponse
) -> None:
    """Schedules and parameters as they stood on the page before."""
    for schedule in made.schedules:
        await client.delete_deployment_schedule(made.id, schedule.id)
    if before.schedules:
        kept = [
            DeploymentScheduleCreate.model_validate(schedule.model_dump(include=KEPT))
            for schedule in before.schedules
        ]
        await client.create_deployment_schedules(made.id, kept)
    await client.update_deployment(made.id, DeploymentUpdate(parameters=before.parameters))


def main() -> None:
    """Entry point of the set-up."""
    os.chdir(HOME)  # entry points in prefect.yaml are paths from there
    try:
        names = asyncio.run(set_up())
    except GristmillError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    sys.stdout.write(f"deployed: {', '.join(names)}\n")


if __name__ == "__main__":
    main()
