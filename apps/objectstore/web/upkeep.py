"""The object store for operators: storage policies, and the disks of those that keep copies on disks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.pages import ListPage
from apps.core.web.tables import Action, Column, Empty, Table
from apps.core.web.tags import quota_bar
from apps.objectstore import services
from apps.objectstore.models import Disk
from apps.objectstore.selectors.upkeep import Room, disk_room, disk_rows, policy_states
from apps.objectstore.states import DiskState

OPERATE = "object_store:operate"
AWAY, IN_USE, DRAINING = ("bad", _("Not there")), ("ok", _("In use")), ("busy", _("Being emptied"))


def state_cell(row: Disk, page: Any) -> Any:
    """Whether it is there, and what may be put on it."""
    room: Room = page.rooms[row.pk]
    if not room.is_there:
        return cells.badge(*AWAY)
    return cells.badge(*(DRAINING if row.state == DiskState.DRAINING else IN_USE))


def room_cell(row: Disk, page: Any) -> Any:
    """How full its file system is."""
    room: Room = page.rooms[row.pk]
    if not room.size:
        return cells.NOTHING
    gib = 2**30
    return quota_bar("", round((room.size - room.free) / gib, 1), round(room.size / gib, 1), 0, "GiB")


def losses(ctx: RequestContext, row: Disk) -> Iterable[Any]:
    """What has to be moved."""
    copies, size = services.disk_preview(ctx, number=row.pk)
    count = ngettext("%d copy", "%d copies", copies) % copies
    yield gettext("%(copies)s of %(size)s are made on other disks") % {"copies": count, "size": cells.size_bytes(size)}


TABLE = Table(
    columns=(
        Column(
            key="number",
            label=_("Disk"),
            lead=True,
            sort="number",
            cell=lambda row, page: format_html("<b>{}</b> <span class='mono'>{}</span>", row.pk, row.path),
        ),
        Column(key="state", label=_("Status"), cell=state_cell),
        Column(key="room", label=_("Room"), cell=room_cell),
        Column(key="policy", label=_("Storage policy"), sort="policy"),
        Column(key="added", label=_("Since"), sort="added_at", cell=cells.ago("added_at")),
    ),
    sort="number",
    actions=(
        Action(
            name="drain",
            label=_("Empty it"),
            icon="log-out",
            rule=OPERATE,
            done=_("Being emptied"),
            when=lambda row: row.state == DiskState.ACTIVE,
            call=lambda ctx, row: services.disk_drain(ctx, number=row.pk),
            question=_("Nothing new is put on it, and the control worker moves away what is there."),
            loses=losses,
        ),
        Action(
            name="activate",
            label=_("Take into use again"),
            icon="play",
            rule=OPERATE,
            done=_("In use"),
            when=lambda row: row.state == DiskState.DRAINING,
            call=lambda ctx, row: services.disk_activate(ctx, number=row.pk),
        ),
    ),
    empty=Empty(
        icon="database",
        title=_("No disks"),
        text=_("Add at least three with “manage.py object disks add PATH …”, each a failure domain of its own."),
    ),
)


class Disks(ListPage):
    """Policies above, disks below."""

    template = "objectstore/upkeep.html"
    title = _("Object store")
    nav = "objectstore:disks"
    table = TABLE
    rooms: dict[int, Room]

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Disk]:
        return disk_rows(ctx)

    def decorate(self, rows: list[Any]) -> list[dict[str, Any]]:
        self.rooms = {row.pk: disk_room(self.ctx, disk=row) for row in rows}
        return super().decorate(rows)

    def around(self) -> dict[str, Any]:
        return {"policies": policy_states(self.ctx)}
