"""Rules of the audit log. OpenStack has no such API; the names follow its pattern."""

from __future__ import annotations

from apps.core.policy import Rule

RULES = (
    Rule(
        "audit:list_events",
        "rule:anyone",
        "See events: everybody their own, and what the two rules below add.",
        ("GET /audit/v1/events", "GET /audit/v1/events/{id}"),
    ),
    Rule(
        "audit:list_project_events",
        "rule:project_manager",
        "See all events about what belongs to the project.",
    ),
    Rule(
        "audit:list_all_events",
        "rule:admin or (role:reader and system_scope:all)",
        "See the events of everybody.",
        scopes=("project", "system"),
    ),
)
