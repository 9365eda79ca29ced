"""Paths of compute's API, below `/compute`."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path

from apps.compute.api import (
    aggregates,
    audit,
    catalogue,
    events,
    extensions,
    hosting,
    hypervisors,
    insides,
    migrations,
    parts,
    quotas,
    servers,
    usage,
    versions,
)
from apps.compute.api.older import floating_ips, images, networks, security_groups

SERVER = "/servers/<str:server_id>"
FLAVOR = "/flavors/<str:flavor_id>"
HYPERVISORS = "/os-hypervisors"
QUOTAS = "/os-quota-sets/<str:project_id>"


def _paths(version: str) -> list[URLPattern]:
    server, flavor = version + SERVER, version + FLAVOR
    return [
        path(version, versions.Root.as_view(path=version.strip("/"))),
        path(f"{version}/", versions.Root.as_view(path=version.strip("/"))),
        *servers.Servers.urls(f"{version}/servers"),
        path(f"{server}/remote-consoles", servers.RemoteConsoles.as_view()),
        path(f"{server}/ips", parts.Addresses.as_view()),
        path(f"{server}/ips/<str:label>", parts.Addresses.as_view()),
        path(f"{server}/metadata", parts.Metadata.as_view()),
        path(f"{server}/metadata/<str:key>", parts.MetadataItem.as_view()),
        path(f"{server}/tags", parts.Tags.as_view()),
        path(f"{server}/tags/<str:tag>", parts.Tag.as_view()),
        path(f"{server}/os-interface", parts.Interfaces.as_view()),
        path(f"{server}/os-interface/<str:port_id>", parts.Interface.as_view()),
        path(f"{server}/os-security-groups", parts.ServerGroupsOfServer.as_view()),
        path(f"{server}/kumo-decision", parts.PlacementDecision.as_view()),
        path(f"{server}/diagnostics", insides.ServerDiagnostics.as_view()),
        path(f"{server}/os-server-password", insides.ServerPassword.as_view()),
        path(f"{server}/topology", insides.ServerTopology.as_view()),
        path(f"{server}/migrations", migrations.ServerMigrations.as_view()),
        path(f"{server}/migrations/<str:migration_id>", migrations.ServerMigration.as_view()),
        path(f"{server}/migrations/<str:migration_id>/action", migrations.ServerMigrationAction.as_view()),
        path(f"{server}/os-instance-actions", parts.InstanceActions.as_view()),
        path(f"{server}/os-instance-actions/<str:request_id>", parts.InstanceAction.as_view()),
        *catalogue.Flavors.urls(f"{version}/flavors"),
        path(f"{flavor}/os-flavor-access", catalogue.FlavorAccesses.as_view()),
        path(f"{flavor}/os-extra_specs", catalogue.ExtraSpecs.as_view()),
        path(f"{flavor}/os-extra_specs/<str:key>", catalogue.ExtraSpec.as_view()),
        *catalogue.KeyPairs.urls(f"{version}/os-keypairs"),
        *catalogue.ServerGroups.urls(f"{version}/os-server-groups"),
        path(version + HYPERVISORS, hypervisors.Hypervisors.as_view()),
        path(f"{version}{HYPERVISORS}/detail", hypervisors.Hypervisors.as_view(detail=True)),
        path(f"{version}{HYPERVISORS}/statistics", hypervisors.HypervisorStatistics.as_view()),
        path(f"{version}{HYPERVISORS}/<str:ident>", hypervisors.Hypervisor.as_view()),
        path(f"{version}{HYPERVISORS}/<str:ident>/search", hypervisors.HypervisorSearch.as_view()),
        path(f"{version}{HYPERVISORS}/<str:ident>/servers", hypervisors.HypervisorSearch.as_view(with_servers=True)),
        path(f"{version}{HYPERVISORS}/<str:ident>/uptime", hypervisors.HypervisorUptime.as_view()),
        path(f"{version}/os-hosts", hosting.Hosts.as_view()),
        path(f"{version}/os-hosts/<str:name>", hosting.Hosts.as_view()),
        path(f"{version}/os-services", hosting.Services.as_view()),
        path(f"{version}/os-services/<str:ident>", hosting.Service.as_view()),
        path(f"{version}/os-migrations", migrations.Migrations.as_view()),
        path(f"{version}/os-server-external-events", events.ServerExternalEvents.as_view()),
        path(f"{version}/os-instance_usage_audit_log", audit.AuditLog.as_view()),
        path(f"{version}/os-instance_usage_audit_log/<str:before>", audit.AuditLog.as_view()),
        path(f"{version}/os-availability-zone", hosting.Zones.as_view()),
        path(f"{version}/os-availability-zone/detail", hosting.Zones.as_view(detail=True)),
        path(f"{version}/os-aggregates", aggregates.Aggregates.as_view()),
        path(f"{version}/os-aggregates/<str:ident>", aggregates.AggregateView.as_view()),
        path(f"{version}/os-aggregates/<str:ident>/action", aggregates.AggregateAction.as_view()),
        path(f"{version}/limits", quotas.Limits.as_view()),
        path(version + QUOTAS, quotas.QuotaSet.as_view()),
        path(f"{version}{QUOTAS}/defaults", quotas.QuotaSetDefaults.as_view()),
        path(f"{version}{QUOTAS}/detail", quotas.QuotaSetDetail.as_view(http_method_names=["get"])),
        path(f"{version}/os-quota-class-sets/<str:name>", quotas.QuotaClassSet.as_view()),
        path(f"{version}/os-simple-tenant-usage", usage.Usages.as_view()),
        path(f"{version}/os-simple-tenant-usage/<str:project_id>", usage.Usage.as_view()),
        path(f"{version}/os-security-groups", security_groups.SecurityGroups.as_view()),
        path(f"{version}/os-security-groups/<str:ident>", security_groups.SecurityGroupView.as_view()),
        path(f"{version}/os-security-group-rules", security_groups.SecurityGroupRules.as_view()),
        path(f"{version}/os-security-group-rules/<str:ident>", security_groups.SecurityGroupRuleView.as_view()),
        path(f"{version}/os-floating-ips", floating_ips.FloatingIps.as_view()),
        path(f"{version}/os-floating-ips/<str:ident>", floating_ips.FloatingIpView.as_view()),
        path(f"{version}/os-floating-ip-pools", floating_ips.FloatingIpPools.as_view()),
        path(f"{version}/os-networks", networks.TenantNetworks.as_view(family="os-networks")),
        path(f"{version}/os-networks/<str:ident>", networks.TenantNetworks.as_view(family="os-networks")),
        path(f"{version}/os-tenant-networks", networks.TenantNetworks.as_view()),
        path(f"{version}/os-tenant-networks/<str:ident>", networks.TenantNetworks.as_view()),
        path(f"{version}/images", images.Images.as_view()),
        path(f"{version}/images/detail", images.Images.as_view(detail=True)),
        path(f"{version}/images/<str:ident>", images.ImageView.as_view()),
        path(f"{version}/images/<str:ident>/metadata", images.ImageMetadata.as_view()),
        path(f"{version}/images/<str:ident>/metadata/<str:key>", images.ImageMetadataItem.as_view()),
        path(f"{version}/extensions", extensions.Extensions.as_view()),
        path(f"{version}/extensions/<str:alias>", extensions.Extensions.as_view()),
    ]


urlpatterns = [
    path("", versions.Roots.as_view()),
    path("/", versions.Roots.as_view()),
    *_paths("/v2.1"),
    *_paths("/v2"),
    re_path(r"^/(?!v2(?:\.1)?(?:/|$))(?P<rest>.*)$", versions.Choices.as_view()),
]
