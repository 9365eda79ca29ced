"""A directory as the home of a domain's users and groups: its options, its connections, and what is read and written.

Nothing here knows the database: entries come in and go out, `apps.identity.selectors.directories` makes rows of them.
"""
