"""Field tables of compute, by noun."""

from apps.compute.resources.flavors import FLAVOR
from apps.compute.resources.groups import SERVER_GROUP
from apps.compute.resources.keypairs import KEY_PAIR
from apps.compute.resources.servers import SERVER

__all__ = ["FLAVOR", "KEY_PAIR", "SERVER", "SERVER_GROUP"]
