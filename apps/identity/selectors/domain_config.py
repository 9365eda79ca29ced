"""What was configured for a domain, without its secrets."""

from __future__ import annotations

from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.identity.backends.ldap import options as known
from apps.identity.models import Domain
from apps.identity.selectors.access import row_of
from apps.identity.selectors.directories import options_of


@selector("identity:get_domain_config")
def domain_config_get(ctx: RequestContext, *, domain_id: str, group: str = "", option: str = "") -> dict[str, Any]:
    """All of it (group → option → value), one group, or one option. Raises NotFound; Forbidden for unknown names."""
    row_of(Domain, domain_id, "domain")
    return part(options_of(domain_id), domain_id, group, option)


@selector("identity:get_domain_config_default")
def domain_config_default(ctx: RequestContext, *, group: str = "", option: str = "") -> dict[str, Any]:
    """The values of options that are not given."""
    return part(known.defaults(), "default", group, option)


def part(config: dict[str, dict[str, Any]], domain_id: str, group: str, option: str) -> dict[str, Any]:
    """The asked part of a configuration, in Keystone's shape: an option stands alone, a group under its name."""
    if group:
        known.known(group, option)
    chosen: Any = config
    if option:
        chosen = {option: config[group][option]} if option in config.get(group, {}) else {}
    elif group:
        chosen = {group: config[group]} if group in config else {}
    if not chosen:
        raise missing(domain_id, group, option)
    return dict(chosen)


def missing(domain_id: str, group: str = "", option: str = "") -> NotFound:
    """Keystone's words for a configuration, group or option that was not given."""
    place = f"option {option} in group {group}" if option else f"group {group}" if group else "any group"
    return NotFound(f"Domain config for {place}", hint=f"Domain: {domain_id}.")
