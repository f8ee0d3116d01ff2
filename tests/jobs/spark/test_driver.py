"""The driver's words: what the user is told of a failure in Spark or in a worker."""

import pytest
from pyspark.errors import PythonException

from infra.errors import GristmillError, TransientError, UsageError
from infra.failures import failure_in
from jobs.spark.places import answers_at
from jobs.spark.session import Session


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (GristmillError("a: 3 rows in"), GristmillError("a: 3 rows in")),
        (UsageError("b: wrong"), UsageError("b: wrong")),
        (TransientError("c: is gone"), TransientError("c: is gone")),
        (
            ValueError("bad page\nsecond"),
            GristmillError("d: ValueError: bad page"),
        ),
    ],
)
def test_a_failure_in_a_worker_becomes_one_line(
    session: Session, raised: Exception, told: GristmillError
) -> None:
    def work(place: int) -> None:
        raise raised

    with pytest.raises(PythonException) as caught:
        answers_at(session, 1, work)
    found = failure_in("d", caught.value)
    assert (type(found), str(found)) == (type(told), str(told))
