"""Writes the reference pages that follow from the code: configuration, rules. `--check` fails on an old page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def configuration() -> str:
    """One table for each section of kumo.toml, from `cloud.config`."""
    from apps.identity.backends.ldap.options import Ldap
    from cloud.config import Config, Section

    lines = ["# Configuration", "", "All keys of `kumo.toml`. What is left out has the default.", ""]
    for name, kind in get_type_hints(Config, include_extras=True).items():
        section = get_origin(kind) or kind
        if isinstance(section, type) and issubclass(section, Section):
            about = (section.__doc__ or "").strip()
            lines += [f"## `[{name}]`", "", about, "", "| key | type | default | meaning |", "|---|---|---|---|"]
            lines += [
                _row(field, get_type_hints(section, include_extras=True)) for field in msgspec.structs.fields(section)
            ]
            lines.append("")
    lines += ["## `[identity.directories.NAME]`", "", (Ldap.__doc__ or "").strip(), ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [_row(field, get_type_hints(Ldap, include_extras=True)) for field in msgspec.structs.fields(Ldap)]
    return "\n".join([*lines, ""])


def _row(field: msgspec.structs.FieldInfo, hints: dict[str, Any]) -> str:
    kind, *notes = get_args(hints[field.name]) or (hints[field.name],)
    metas = [note for note in notes if isinstance(note, msgspec.Meta)]
    meta = next((note for note in metas if note.description), metas[0] if metas else msgspec.Meta())
    limits = [f"{word} {value}" for word, value in (("at least", meta.ge), ("at most", meta.le)) if value is not None]
    shown = getattr(kind, "__name__", str(kind).replace("typing.", ""))
    default = field.default if field.default is not msgspec.NODEFAULT else ""
    if str(default).endswith("/var"):
        default = "`var` of the checkout"
    about = " ".join([meta.description or "", f"({', '.join(limits)})" if limits else ""]).strip()
    return f"| `{field.name}` | {shown} | {default!s} | {about} |".replace("\n", " ")


def rules() -> str:
    """Every rule with its default, from the policy book."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.test")
    import django

    django.setup()
    from apps.core import policy

    lines = ["# Rules", "", "Names are OpenStack's. Override any of them in the file named by `paths.policy`.", ""]
    lines += ["| rule | default | scopes | meaning |", "|---|---|---|---|"]
    for rule in sorted(policy.book.rules.values(), key=lambda r: r.name):
        calls = ", ".join(f"`{call}`" for call in rule.operations)
        meaning = " ".join(part for part in (rule.description, calls) if part).replace("|", "\\|")
        lines.append(f"| `{rule.name}` | `{rule.check}` | {', '.join(rule.scopes) or 'any'} | {meaning} |")
    return "\n".join(lines) + "\n"


def conditions() -> str:
    """Keys and operators that conditions of bucket policies may use, from their tables."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.test")
    import django

    django.setup()
    from apps.objectstore.selectors.bucket_policy import BUCKET_ACTIONS, OBJECT_ACTIONS
    from apps.objectstore.selectors.conditions import KEYS, OPERATORS, TAG_KEYS

    names = {name.lower(): name for name in OBJECT_ACTIONS | BUCKET_ACTIONS}
    lines = ["# Conditions of bucket policies", "", "A policy that uses any other key or operator is refused.", ""]
    lines += ["| key | kind | asked about |", "|---|---|---|"]
    for key in (*KEYS, *TAG_KEYS):
        shown = f"{key.name}{'TAG' if key.name.endswith('/') else ''}"
        kinds = ", ".join(key.kinds) + (", several" if key.many else "")
        actions = ", ".join(sorted(f"`{names[name]}`" for name in key.on)) or "every request"
        lines.append(f"| `{shown}` | {kinds} | {actions} |")
    lines += ["", "Each operator takes keys of its kind:", "", "| kind | operators |", "|---|---|"]
    for kind in dict.fromkeys(operator.kind for operator in OPERATORS.values()):
        mine = ", ".join(f"`{name}`" for name, operator in OPERATORS.items() if operator.kind == kind)
        lines.append(f"| {kind} | {mine} |")
    lines += ["", "`Null` takes every key. `…IfExists` also holds where the key is absent; `ForAnyValue:` and"]
    lines += ["`ForAllValues:` go with keys that have several values, and must be said there."]
    return "\n".join(lines) + "\n"


PAGES = {
    "reference/configuration.md": configuration,
    "reference/rules.md": rules,
    "reference/bucket-policy-conditions.md": conditions,
}


def main() -> int:
    stale = []
    for name, make in PAGES.items():
        page, text = HERE / name, make()
        if page.exists() and page.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            page.write_text(text)
    print(f"out of date: {', '.join(stale)}" if stale else "up to date")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
