"""Rules of operations. OpenStack has no such API; the names follow its pattern."""

from __future__ import annotations

from apps.core.policy import Rule, scoped

_RULES = (
    Rule(
        "operations:list",
        "rule:anyone",
        "See operations; the answer holds those of the caller's project, for administrators all.",
        ("GET /operations",),
    ),
    Rule("operations:get", "rule:project_reader_or_admin", "See one operation.", ("GET /operations/{id}",)),
    Rule(
        "operations:cancel",
        "rule:project_member_or_admin",
        "Cancel an operation whose kind allows it.",
        ("POST /operations/{id}/cancel",),
    ),
    Rule("operations:retry", "rule:admin", "Try a stuck operation again.", ("POST /operations/{id}/retry",)),
    Rule(
        "operations:abandon",
        "rule:admin",
        "Give an unfinished operation up as it is.",
        ("POST /operations/{id}/abandon",),
    ),
    Rule("operations:traceback", "rule:admin", "See the traceback of a failure."),
)

RULES = scoped(("project", "system"), _RULES)
