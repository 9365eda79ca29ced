"""Long operations of the object store."""

from apps.objectstore.jobs import objects_remove
from apps.objectstore.services.emptying import OBJECTS_DELETE
from apps.operations.registry import QUEUE, Job, Saga, register

LONGEST_S = 7 * 86_400  # ten million objects take a day

register(
    Saga(
        OBJECTS_DELETE,
        (Job("remove", objects_remove, deadline_s=LONGEST_S),),
        title="Delete objects",
        when_busy=QUEUE,
    )
)
