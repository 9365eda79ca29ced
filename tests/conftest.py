"""What every test may ask for."""

from tests.kit.fixtures import log_of_its_own, real_cloud, real_host, site

__all__ = ["log_of_its_own", "real_cloud", "real_host", "site"]
