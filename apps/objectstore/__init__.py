"""Objects: accounts, containers and the bytes in them (OpenStack's service type `object-store`, Swift's API).

Owns the names and facts of objects in PostgreSQL, and their bytes in a blob back end: three copies on plain disks by
default. Does not own what other services keep in it. A listing shows what is committed, at once and everywhere.
"""
