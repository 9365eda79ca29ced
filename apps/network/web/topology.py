"""The picture of a project's networks: the outside to the left, routers between, networks with their servers right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.core.web import subjects
from apps.core.web.pages import Page
from apps.network import selectors
from apps.network.models import Network, Router
from apps.network.states import SERVER_PREFIX, Owner
from apps.network.web.networks import Networks, Routers

MOST = 60  # networks, and routers
MOST_PORTS = 2000
MOST_SERVERS = 8  # named in one network; the others are counted

# Measures in units of the drawing.
WIDTH, BOX, LINE, GAP = 960, 44, 24, 16
OUTSIDE_X, OUTSIDE_WIDTH = 0, 200
ROUTER_X, ROUTER_WIDTH = 300, 180
NETWORK_X, NETWORK_WIDTH = 580, 380


@dataclass(slots=True)
class Box:
    """A thing in the drawing: where it stands, and what is written in it."""

    id: UUID
    name: str
    detail: str = ""
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = BOX
    lines: list[tuple[str, str, int]] = field(default_factory=list)  # server's id, its name, y
    more: int = 0  # servers without a line

    @property
    def middle(self) -> int:
        return self.y + BOX // 2


@dataclass(frozen=True, slots=True)
class Drawing:
    """All boxes, the curves between them, and how high it is."""

    outside: Sequence[Box]
    routers: Sequence[Box]
    networks: Sequence[Box]
    curves: Sequence[str]
    height: int


def draw(networks: Iterable[Network], routers: Iterable[Router], servers: Mapping[UUID, Mapping[str, str]]) -> Drawing:
    """Place everything; `servers` are ids and names by network. It reads no more than is prefetched.

    Routers stand beside the middle of the networks they join, outside networks beside their routers.
    """
    inner, outer = _networks(networks, servers)
    joined = {router: _joined(router) & inner.keys() for router in routers}
    middles = {router: [inner[pk].middle for pk in joined[router]] for router in joined}
    boxes = _column(((r.pk, r.name, "", middles[r]) for r in joined), ROUTER_X, ROUTER_WIDTH)
    behind: dict[UUID, list[int]] = defaultdict(list)
    for router in joined:
        if router.gateway_network_id:
            behind[router.gateway_network_id].append(boxes[router.pk].middle)
    around = _column(((n.pk, n.name, _ranges(n), behind[n.pk]) for n in outer), OUTSIDE_X, OUTSIDE_WIDTH)
    curves = [_curve(boxes[r.pk], inner[pk]) for r in joined for pk in sorted(joined[r])]
    curves += [_curve(around[r.gateway_network_id], boxes[r.pk]) for r in joined if r.gateway_network_id in around]
    everything = [*inner.values(), *boxes.values(), *around.values()]
    height = max((box.y + box.height for box in everything), default=0)
    return Drawing(list(around.values()), list(boxes.values()), list(inner.values()), curves, height)


def _networks(
    networks: Iterable[Network], servers: Mapping[UUID, Mapping[str, str]]
) -> tuple[dict[UUID, Box], list[Network]]:
    """Boxes of inner networks from top to bottom, and the outside ones."""
    inner, outer, y = {}, [], 0
    for row in networks:
        if row.external:
            outer.append(row)
            continue
        here = sorted(servers.get(row.pk, {}).items(), key=lambda item: item[1])
        box = Box(row.pk, row.name, _ranges(row), NETWORK_X, y, NETWORK_WIDTH)
        box.lines = [(pk, name, y + BOX + n * LINE + LINE // 2) for n, (pk, name) in enumerate(here[:MOST_SERVERS])]
        box.more = len(here) - len(box.lines)
        box.height = BOX + (len(box.lines) + bool(box.more)) * LINE + (8 if here else 0)
        inner[row.pk] = box
        y += box.height + GAP
    return inner, outer


def _ranges(row: Network) -> str:
    return " · ".join(str(subnet.cidr) for subnet in row.subnets.all())


def _joined(router: Router) -> set[UUID]:
    """The networks that a router has an interface in."""
    return {port.network_id for port in router.ports.all() if port.device_owner == Owner.ROUTER_INTERFACE}


def _column(found: Iterable[tuple[UUID, str, str, list[int]]], x: int, width: int) -> dict[UUID, Box]:
    """Boxes under one another, each as near to the middle of what it belongs to as there is room."""
    wanted = sorted(
        ((sum(m) // len(m) - BOX // 2 if m else 1 << 30), name, pk, detail) for pk, name, detail, m in found
    )
    boxes, free = {}, 0
    for near, name, pk, detail in wanted:
        y = free if near == 1 << 30 else max(free, near)
        boxes[pk] = Box(pk, name, detail, x, y, width)
        free = y + BOX + GAP
    return boxes


def _mean(values: Sequence[int]) -> int:
    return sum(values) // len(values) if values else 0


def _curve(left: Box, right: Box) -> str:
    """A path from one box's right edge to the other's left edge."""
    start, end = left.x + left.width, right.x
    half = (start + end) // 2
    return f"M{start} {left.middle}C{half} {left.middle} {half} {right.middle} {end} {right.middle}"


class Topology(Page):
    template = "network/topology.html"
    title = _("Topology")
    nav = "network:topology"

    def get(self, request: HttpRequest) -> HttpResponse:
        networks = list(Networks.rows(self.ctx).order_by("-external", "name", "pk")[:MOST])
        routers = list(Routers.rows(self.ctx).order_by("name", "pk")[:MOST])
        drawing = draw(networks, routers, self._servers([n.pk for n in networks]))
        crowded = len(networks) == MOST or len(routers) == MOST
        return self.render(drawing=drawing, width=WIDTH, crowded=crowded, most=MOST)

    def _servers(self, networks: list[UUID]) -> dict[UUID, dict[str, str]]:
        ports = selectors.port_list(self.ctx).filter(
            project_id=self.ctx.project_id, network_id__in=networks, device_owner__startswith=SERVER_PREFIX
        )
        pairs: list[tuple[Any, str]] = list(ports.values_list("network_id", "device_id")[:MOST_PORTS])
        names = subjects.names(("server", ident) for _network, ident in set(pairs))
        found: dict[UUID, dict[str, str]] = defaultdict(dict)
        for network, ident in pairs:
            if ("server", ident) in names:
                found[network][ident] = names["server", ident]
        return found
