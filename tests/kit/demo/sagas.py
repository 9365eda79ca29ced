"""Sagas with every kind of step, shaped like those of servers."""

from __future__ import annotations

from typing import Any

from agents import contracts
from apps.core.errors import Unavailable
from apps.operations import registry as r
from apps.operations.view import Failure, Op
from tests.kit.demo.models import Claim, Guest, Note, Part


def guest_of(op: Op) -> Guest:
    return Guest.objects.get(pk=op.subject_id)


def host_of(op: Op) -> str | None:
    claim = Claim.objects.filter(guest_id=op.subject_id).first()
    return claim.host if claim else None


def place(op: Op) -> dict[str, str]:
    if not op.input.get("host"):
        raise Unavailable("No valid host was found.")
    Claim.objects.create(guest_id=op.subject_id, host=op.input["host"])
    Guest.objects.filter(pk=op.subject_id).update(host=op.input["host"])
    return {"host": op.input["host"]}


def release(op: Op) -> None:
    Claim.objects.filter(guest_id=op.subject_id).delete()


def parts(op: Op) -> list[r.ChildInput]:
    wanted = Part.objects.filter(guest_id=op.subject_id).order_by("pk")
    return [r.ChildInput("part", str(part.pk), op.project_id) for part in wanted]


def disks(op: Op) -> contracts.Message:
    generation = guest_of(op).generation
    return contracts.EnsureDisks(server_id=op.subject_id, generation=generation, image=None, root_gib=0)


def remove_disks(op: Op) -> contracts.Message:
    return contracts.RemoveDisks(server_id=op.subject_id)


def domain(op: Op) -> contracts.Message:
    return contracts.Domain(
        server_id=op.subject_id, generation=guest_of(op).generation, operation_id=op.id, request_id=op.request_id,
        project_id=op.project_id, name="demo", vcpus=1, ram_mib=64, power=contracts.Power.RUNNING, has_root_disk=False,
    )  # fmt: skip


def remove_domain(op: Op) -> contracts.Message:
    return contracts.RemoveDomain(server_id=op.subject_id)


def reboot(op: Op) -> contracts.Message:
    return contracts.RebootDomain(server_id=op.subject_id, hard=True)


def booted(op: Op, reply: contracts.DomainReady) -> None:
    assert reply.power == contracts.Power.RUNNING


def note(op: Op, job: r.JobContext) -> dict[str, Any]:
    job.progress(50, "writing")
    job.checkpoint()
    Note.objects.get_or_create(guest_id=op.subject_id)
    return {"noted": True}


def unnote(op: Op, job: r.JobContext) -> None:
    Note.objects.filter(guest_id=op.subject_id).delete()


def network_is_up(op: Op) -> bool:
    return guest_of(op).network == "up"


def active(op: Op) -> None:
    Guest.objects.filter(pk=op.subject_id).update(state="active", fault="")


def fault(op: Op, failure: Failure) -> None:
    Guest.objects.filter(pk=op.subject_id).update(state="error", fault=failure.message)


def rebooted(op: Op) -> None:
    guest = guest_of(op)
    Guest.objects.filter(pk=guest.pk).update(reboots=guest.reboots + 1)


def forget(op: Op) -> None:
    for model in (Claim, Note):
        model.objects.filter(guest_id=op.subject_id).delete()


def gone(op: Op) -> None:
    Part.objects.filter(guest_id=op.subject_id).delete()
    Guest.objects.filter(pk=op.subject_id).delete()


def part_failed(op: Op, failure: Failure) -> None:
    Part.objects.filter(pk=op.subject_id).update(state="error")


r.register(
    r.Saga(
        "demo.guest.create",
        title="Launch guest",
        task_states={"place": "scheduling", "domain": "spawning"},
        on_done=active,
        on_failed=fault,
        steps=(
            r.Local("place", place, release),
            r.Child("parts", "demo.part.create", parts, inverse="demo.part.delete"),
            r.Wait("network", network_is_up, deadline_s=30),
            r.Agent(
                "disks",
                "compute.ensure_disks",
                "compute.remove_disks",
                target=host_of,
                message=disks,
                undo_message=remove_disks,
                returns=contracts.DisksReady,
                long=True,
            ),
            r.Agent(
                "domain",
                "compute.ensure_domain",
                "compute.remove_domain",
                target=host_of,
                message=domain,
                undo_message=remove_domain,
                returns=contracts.DomainReady,
                reply=booted,
            ),
            r.Job("note", note, unnote),
        ),
    ),
    r.Saga(
        "demo.guest.reboot",
        on_failed=fault,
        on_done=rebooted,
        steps=(r.Agent("reboot", "compute.reboot_domain", target=host_of, message=reboot),),
    ),
    r.Saga(
        "demo.guest.delete",
        forward_only=True,
        cancellable=False,
        when_busy=r.QUEUE,
        on_done=gone,
        steps=(
            r.Agent("domain", "compute.remove_domain", target=host_of, message=remove_domain),
            r.Agent("disks", "compute.remove_disks", target=host_of, message=remove_disks),
            r.Local("forget", forget),
            r.Child("parts", "demo.part.delete", parts),
        ),
    ),
    r.Saga(
        "demo.part.create",
        steps=(r.Local("make", lambda op: Part.objects.filter(pk=op.subject_id).update(state="available") and None),),
        on_failed=part_failed,
    ),
    r.Saga(
        "demo.part.delete",
        forward_only=True,
        when_busy=r.QUEUE,
        steps=(r.Local("remove", lambda op: Part.objects.filter(pk=op.subject_id).update(state="gone") and None),),
    ),
)
