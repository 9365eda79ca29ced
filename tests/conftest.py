"""What every test may ask for."""

import gc

from tests.kit.fixtures import log_of_its_own, real_cloud, real_host, site

__all__ = ["log_of_its_own", "real_cloud", "real_host", "site"]


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay to the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()
