"""The log of who changed what: append-only events in monthly partitions, written by every service.

It owns the events and how they are read, kept and dropped; what stands in one is decided by `apps.core.audit`.
Its service type is `audit`; OpenStack has none.
"""
