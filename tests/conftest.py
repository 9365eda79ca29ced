"""What every test may ask for."""

from tests.kit.fixtures import real_cloud, real_host, site

__all__ = ["real_cloud", "real_host", "site"]
