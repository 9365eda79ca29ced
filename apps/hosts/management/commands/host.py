"""`manage.py host`: let hosts in, see them, take them out of use, put them out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.core.context import RequestContext, system
from apps.core.errors import KumoError
from apps.hosts import selectors, services
from apps.hosts.models import Host
from apps.hosts.states import DEFAULT_ZONE


class Command(BaseCommand):
    help = "Enrol, list, enable, disable, drain and remove hosts; make the certificate of the hosts' port."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        enroll = verbs.add_parser("enroll", help="Make a join token for a new host, good once and for one hour.")
        enroll.add_argument("name")
        enroll.add_argument("--zone", default=DEFAULT_ZONE, help="Availability zone.")
        enroll.add_argument("--quiet", action="store_true", help="Print the token and nothing else.")
        verbs.add_parser("list", help="Show all hosts.").add_argument(
            "--up", action="store_true", help="Only the ones that answer."
        )
        verbs.add_parser("enable", help="Place new servers on it again.").add_argument("name")
        for verb, text in (
            ("disable", "Place no new servers on it."),
            ("drain", "Place no new servers on it, and mark that those on it are to leave."),
        ):
            one = verbs.add_parser(verb, help=text)
            one.add_argument("name")
            one.add_argument("--reason", default="")
        verbs.add_parser("remove", help="Forget a host that has no servers.").add_argument("name")
        certificate = verbs.add_parser("server-certificate", help="Certificate for the port that hosts reach.")
        certificate.add_argument("--address", action="append", required=True, help="Name or IP address; repeatable.")
        certificate.add_argument("--out", type=Path, required=True, help="Directory for the three files.")
        verbs.add_parser("fingerprint", help="SHA-256 of the authority's certificate, for `agents.enroll`.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, "do_" + options["verb"].replace("-", "_"))(system(), options)
        except KumoError as error:
            raise CommandError(str(error)) from error

    def do_enroll(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        token = services.host_enroll_token(ctx, name=options["name"], zone=options["zone"])
        if options["quiet"]:
            self.stdout.write(token)
            return
        self.stdout.write(f"Token for {options['name']}, good once and for one hour:\n\n  {token}\n")
        self.stdout.write("On the host, with that token in a file of mode 0600:\n")
        self.stdout.write(
            "  python -m agents.enroll --config /etc/kumo/agent.toml --token-file FILE "
            f"--ca-fingerprint {services.authority().fingerprint}"
        )

    def do_list(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        form = "{:<24} {:<12} {:<9} {:<9} {:>9} {:>15} {:>11} {:>8}  {}"
        self.stdout.write(form.format("NAME", "ZONE", "STATE", "MODE", "VCPUS", "RAM MIB", "DISK GIB", "SEEN", "NOTES"))
        for host in selectors.host_list(ctx):
            if options["up"] and not host.is_up:
                continue
            self.stdout.write(
                form.format(
                    host.name,
                    host.zone,
                    host.state,
                    host.mode,
                    f"{host.used_vcpus}/{host.capacity_vcpus}",
                    f"{host.used_ram_mib}/{host.capacity_ram_mib}",
                    f"{host.used_disk_gib}/{host.capacity_disk_gib}",
                    _ago(host),
                    "; ".join([*filter(None, [host.mode_reason]), *selectors.warnings(host)]),
                ).rstrip()
            )

    def do_enable(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        self._tell(services.host_enable(ctx, host_id=self._id(ctx, options)))

    def do_disable(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        self._tell(services.host_disable(ctx, host_id=self._id(ctx, options), reason=options["reason"]))

    def do_drain(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        host = services.host_drain(ctx, host_id=self._id(ctx, options), reason=options["reason"])
        self._tell(host)
        if left := host.claims.count():
            self.stdout.write(f"{left} servers are still on it.")

    def do_remove(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        services.host_remove(ctx, host_id=self._id(ctx, options))
        self.stdout.write(f"{options['name']} is no host of this cloud any more.")

    def do_server_certificate(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        for path in services.server_certificate(options["address"], options["out"]):
            self.stdout.write(str(path))

    def do_fingerprint(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        self.stdout.write(services.authority().fingerprint)

    def _id(self, ctx: RequestContext, options: dict[str, Any]) -> Any:
        return selectors.host_get(ctx, host_id=options["name"]).pk

    def _tell(self, host: Host) -> None:
        self.stdout.write(f"{host.name} is {host.mode}.")


def _ago(host: Host) -> str:
    if host.last_seen_at is None:
        return "never"
    return f"{max((timezone.now() - host.last_seen_at).total_seconds(), 0):.0f}s"
