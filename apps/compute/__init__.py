"""Compute: flavors, key pairs, servers and what hangs on them. OpenStack's service type is `compute` (Nova).

Owns servers from the request to the tombstone, and keeps guests as wanted. Hosts and their capacity belong to
`hosts`, addresses to `network`, images to `image`; long changes are operations.
"""
