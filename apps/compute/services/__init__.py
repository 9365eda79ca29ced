"""Writes of compute, by noun."""

from apps.compute.services.aggregates import (
    aggregate_add_host,
    aggregate_create,
    aggregate_delete,
    aggregate_remove_host,
    aggregate_set_metadata,
    aggregate_update,
)
from apps.compute.services.cloud import service_disable, service_enable, service_forget
from apps.compute.services.consoles import Console, console_dial, server_console_log, server_console_open
from apps.compute.services.creating import Launch, server_create
from apps.compute.services.flavors import (
    flavor_access_add,
    flavor_access_remove,
    flavor_create,
    flavor_delete,
    flavor_extra_spec_delete,
    flavor_extra_spec_update,
    flavor_extra_specs_add,
    flavor_update,
)
from apps.compute.services.groups import server_group_create, server_group_delete
from apps.compute.services.guestdata import config_drive, metadata_for
from apps.compute.services.interfaces import (
    server_group_add,
    server_group_remove,
    server_interface_attach,
    server_interface_detach,
)
from apps.compute.services.keypairs import Made, key_pair_create, key_pair_delete
from apps.compute.services.parts import (
    server_metadata_add,
    server_metadata_delete,
    server_metadata_replace,
    server_metadata_set,
    server_tag_add,
    server_tag_remove,
    server_tags_clear,
    server_tags_replace,
)
from apps.compute.services.quotas import (
    limits_get,
    quota_class_get,
    quota_class_update,
    quota_set_defaults,
    quota_set_delete,
    quota_set_detail,
    quota_set_get,
    quota_set_update,
    usage_of,
)
from apps.compute.services.servers import (
    server_delete,
    server_force_delete,
    server_lock,
    server_pause,
    server_reboot,
    server_reset_state,
    server_resume,
    server_start,
    server_stop,
    server_suspend,
    server_unlock,
    server_unpause,
    server_update,
)

__all__ = [
    "Console", "Launch", "Made", "aggregate_add_host", "aggregate_create", "aggregate_delete",
    "aggregate_remove_host", "aggregate_set_metadata", "aggregate_update", "config_drive", "console_dial",
    "flavor_access_add", "flavor_access_remove", "flavor_create", "flavor_delete", "flavor_extra_spec_delete",
    "flavor_extra_spec_update", "flavor_extra_specs_add", "flavor_update", "key_pair_create", "key_pair_delete",
    "limits_get", "metadata_for", "quota_class_get", "quota_class_update", "quota_set_defaults", "quota_set_delete",
    "quota_set_detail", "quota_set_get", "quota_set_update", "server_console_log", "server_console_open",
    "server_create", "server_delete", "server_force_delete", "server_group_add", "server_group_create",
    "server_group_delete", "server_group_remove", "server_interface_attach", "server_interface_detach",
    "server_lock", "server_metadata_add", "server_metadata_delete", "server_metadata_replace",
    "server_metadata_set", "server_pause", "server_reboot", "server_reset_state", "server_resume", "server_start",
    "server_stop", "server_suspend", "server_tag_add", "server_tag_remove", "server_tags_clear",
    "server_tags_replace", "server_unlock", "server_unpause", "server_update", "service_disable", "service_enable", "service_forget", "usage_of",
]  # fmt: skip
