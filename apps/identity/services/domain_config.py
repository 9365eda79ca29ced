"""Configuring where a domain's users and groups live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from apps.core import sealing
from apps.core.context import RequestContext
from apps.core.errors import Conflict
from apps.core.transactions import service
from apps.identity.backends.ldap import options as known
from apps.identity.models import Domain, DomainOption, Group, IdMapping, User
from apps.identity.selectors.access import row_of
from apps.identity.selectors.directories import options_of
from apps.identity.selectors.domain_config import missing, part

_USED_LATER = frozenset({"driver", "url"})
Config = Mapping[str, Mapping[str, Any]]


@service("identity:create_domain_config")
def domain_config_set(ctx: RequestContext, *, domain_id: str, config: Config) -> bool:
    """Give a domain this configuration in place of any it had; true if it had none.

    Raises NotFound, Forbidden for what cannot be configured, Conflict where users of ours would be locked out.
    """
    row_of(Domain, domain_id, "domain")
    _check(config)
    had = DomainOption.objects.filter(domain_id=domain_id).exists()
    DomainOption.objects.filter(domain_id=domain_id).delete()
    _write(domain_id, config)
    return not had


@service("identity:update_domain_config")
def domain_config_update(
    ctx: RequestContext, *, domain_id: str, config: Mapping[str, Any], group: str = "", option: str = ""
) -> None:
    """Change options; a group or option that the address names must be the only one, and must have been given before.

    `config` is group → option → value, or with `option` just that option. Raises as `domain_config_set`.
    """
    row_of(Domain, domain_id, "domain")
    if group:
        known.known(group, option)
    changes: Config = {group: config} if option else config
    _check(changes)
    if group and set(changes) != {group}:
        raise known.refused(f"Trying to update group {group}, so that, and only that, group must be specified")
    if option and set(changes[group]) != {option}:
        raise known.refused(f"Trying to update option {option}, so that, and only that, option must be specified")
    present = options_of(domain_id, with_secrets=True)
    part(present, domain_id, group, option)
    _write(domain_id, {name: {**present.get(name, {}), **values} for name, values in {**present, **changes}.items()})


@service("identity:delete_domain_config")
def domain_config_delete(ctx: RequestContext, *, domain_id: str, group: str = "", option: str = "") -> None:
    """Take a configuration, a group or an option away. Raises NotFound."""
    row_of(Domain, domain_id, "domain")
    if group:
        known.known(group, option)
    rows = DomainOption.objects.filter(domain_id=domain_id)
    if group:
        rows = rows.filter(group=group)
    if option:
        rows = rows.filter(option=option)
    if not rows.delete()[0]:
        raise missing(domain_id, group, option)


def _check(config: Config) -> None:
    """Raise Forbidden unless every group and option is known and at least one is given."""
    if not config:
        raise known.refused("No options specified")
    for group, values in config.items():
        known.known(group)
        if not isinstance(values, Mapping) or not values:
            raise known.refused(f"The value of group {group} specified in the config should be a dictionary of options")
        for option in values:
            known.known(group, option)


def _write(domain_id: str, config: Config) -> None:
    """Write whole groups, secrets sealed, once they can be read together.

    What names something outside of this cloud is looked at when it is used, as Keystone does.
    """
    for group, values in config.items():
        known.read(group, {option: value for option, value in values.items() if option not in _USED_LATER})
    if config.get("identity", {}).get("driver") == "ldap":
        _nobody_locked_out(domain_id)
    rows = [
        DomainOption(
            domain_id=domain_id,
            group=group,
            option=option,
            value=None if option in known.SECRETS else value,
            sealed=sealing.seal(msgspec.json.encode(value)) if option in known.SECRETS else None,
        )
        for group, values in config.items()
        for option, value in values.items()
    ]
    DomainOption.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["domain", "group", "option"],
        update_fields=["value", "sealed"],
    )


def _nobody_locked_out(domain_id: str) -> None:
    """A domain has its users in one place: those of ours could no longer sign in."""
    mapped = IdMapping.objects.filter(domain_id=domain_id).values("public_id")
    for noun, rows in (("users", User.objects), ("groups", Group.objects)):
        count = rows.filter(domain_id=domain_id).exclude(pk__in=mapped).count()
        if count:
            raise Conflict(
                f"The domain has {count} {noun} of its own, which a directory would hide.",
                hint="Use a domain without users and groups for a directory.",
            )
