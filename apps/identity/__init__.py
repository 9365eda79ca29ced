"""Identity: who may do what, and how many.

Owns domains, projects, users, groups, roles, assignments, tokens, the catalogue of services and the limits of
projects. Owns no resource that a project has: the apps count those themselves. OpenStack's service type: identity.
"""
