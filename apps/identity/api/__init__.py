"""Keystone's v3 API over identity's services."""
