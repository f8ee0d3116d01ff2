"""From parameters to tasks: which steps lead from what is there (crawl files, artifacts) to what is
wanted.

The chain is found by walking back from the goal through the declared inputs. Identities follow from
declarations alone, so the whole chain, with every digest, is known before anything runs.
"""

from flows.chain.bound import Start, newest_for, start_of
from flows.chain.parameters import PipelineParameters
from flows.chain.steps import STEPS, makers, place
from infra.crawl import Source
from infra.errors import UsageError
from infra.lake import Artifact, Lake
from infra.step import CRAWL, Step, Task


def chain(
    parameters: PipelineParameters, goal: str = "report", *, whole: bool = True
) -> list[Task]:
    """The tasks that lead to `goal`, in order.

    whole  a run: optional steps are on the way unless `without` names them, and it starts from
           `input`. Otherwise one step is asked for: optional steps are left out but for the goal,
           and without `input` it starts from the newest artifact that it can read
           (`started_from`).

    Raises UsageError when the way does not exist.
    """
    lake = Lake.at(parameters.root)
    main = STEPS[goal].reads[0]
    references = parameters.input
    if not references and (whole or main == CRAWL):
        raise UsageError(
            f"{goal}: give --input: crawl files, a directory, a quoted glob, s3:// or https://,"
            " or an artifact of the lake"
        )
    if not references:
        references = [newest_for(lake, goal, main, parameters.name).uri]
    start = start_of(parameters.root, references)
    walk = _Walk(lake, parameters, start, goal, whole)
    walk.task(STEPS[goal])
    tasks = [walk.tasks[name] for name in STEPS if name in walk.tasks]
    if start.crawl and not any(task.crawl for task in tasks):
        given = " and ".join(sorted(start.artifacts))
        raise UsageError(f"{goal}: reads no crawl files where {given} are given; name one of them")
    return tasks


def started_from(parameters: PipelineParameters, goal: str) -> Artifact | None:
    """The newest artifact that one step starts from without `input`; None where it is given or the
    step reads crawl files."""
    main = STEPS[goal].reads[0]
    if parameters.input or main == CRAWL:
        return None
    return newest_for(Lake.at(parameters.root), goal, main, parameters.name)


class _Walk:
    """The way back from a goal."""

    def __init__(
        self, lake: Lake, parameters: PipelineParameters, start: Start, goal: str, whole: bool
    ) -> None:
        self.lake, self.parameters, self.start = lake, parameters, start
        self.goal, self.whole = goal, whole
        self.tasks: dict[str, Task] = {}

    def task(self, step: Step) -> Task:
        """The task of a step, with all that it needs before it."""
        if step.name not in self.tasks:
            roles = [role for role in step.reads if role != CRAWL]
            self.tasks[step.name] = Task(
                step=step,
                lake=self.lake,
                name=self.parameters.name,
                parameters=self.parameters.section(step.name),
                inputs={role: self.need(role, step) for role in roles},
                crawl=self.crawl(step) if CRAWL in step.reads else (),
            )
        return self.tasks[step.name]

    def need(self, role: str, reader: Step) -> Artifact:
        """What plays the role for the reader: the output of the last step before it that the run
        includes, else what the user gave."""
        given = self.start.artifacts.get(role)
        first = place(self.start.makers[role]) + 1 if given else 0
        on_the_way = [
            step
            for step in makers(role)
            if first <= place(step.name) < place(reader.name) and self.includes(step)
        ]
        if on_the_way:
            return self.task(on_the_way[-1]).artifact
        if given is None:
            raise UsageError(
                f"{reader.name}: needs {role}; give --input an artifact that leads there"
                " (`gristmill ls` lists them)"
            )
        return given

    def includes(self, step: Step) -> bool:
        """Whether the run has this step."""
        if not step.optional or step.name == self.goal:
            return True
        return self.whole and step.name not in self.parameters.without

    def crawl(self, step: Step) -> tuple[Source, ...]:
        """The raw files."""
        if not self.start.crawl:
            raise UsageError(f"{step.name}: give --input: crawl files, a directory or a URI")
        return self.start.crawl
