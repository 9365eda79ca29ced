"""Domains and projects: one table, two nouns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet, RestrictedError

from apps.core import owned
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.policy import enforce
from apps.core.transactions import service
from apps.identity.models import Domain, Group, Project, Role, User
from apps.identity.selectors.access import row_of, target_of
from apps.identity.selectors.nouns import project_parents, project_subtree
from apps.identity.services.common import apply, domain_or_own, merged_options, mutable, unchangeable
from apps.identity.services.epoch import change_epoch
from apps.identity.services.limits import TWO_LEVELS
from apps.identity.services.tokens import end_tokens_of_project
from apps.identity.states import DEFAULT_DOMAIN_ID, MAX_TAGS, new_id

# --- domains ----------------------------------------------------------------------------------------


@service("identity:create_domain")
def domain_create(
    ctx: RequestContext,
    *,
    name: str,
    description: str | None = None,
    enabled: bool = True,
    tags: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    explicit_domain_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Domain:
    """A new name space for projects, users and groups. Raises Conflict for the name or id."""
    domain = Domain(
        pk=explicit_domain_id or new_id(),
        name=name,
        description=description or "",
        enabled=enabled,
        tags=list(tags),
        options=merged_options({}, options),
        extra=dict(extra or {}),
    )
    domain.save(force_insert=True)
    return domain


@service("identity:update_domain")
def domain_update(
    ctx: RequestContext, *, domain_id: str, extra: Mapping[str, Any] | None = None, **changes: Any
) -> Domain:
    """Change a domain; disabling it ends every token of its users and for its projects. Raises NotFound, Conflict."""
    domain = Domain.objects.select_for_update(no_key=True).filter(pk=domain_id).first()
    if domain is None:
        raise NotFound("domain", domain_id)
    _update(domain, "domain", changes, extra)
    return domain


@service("identity:delete_domain")
def domain_delete(ctx: RequestContext, *, domain_id: str) -> None:
    """Remove a disabled domain with its users, groups, roles and projects.

    Raises NotFound, Forbidden for an enabled one, Conflict if a project still has something.
    """
    domain = row_of(Domain, domain_id, "domain")
    _delete_domain(ctx, domain)


def _delete_domain(ctx: RequestContext, domain: Project) -> None:
    mutable(domain, "domain", deleting=True)
    if domain.pk == DEFAULT_DOMAIN_ID:
        raise Forbidden("The default domain cannot be deleted.")
    if domain.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    User.objects.filter(domain_id=domain.pk).delete()
    Group.objects.filter(domain_id=domain.pk).delete()
    Role.objects.filter(domain_id=domain.pk).delete()
    _remove(ctx, Project.objects.filter(Q(pk=domain.pk) | Q(domain_id=domain.pk)))


# --- projects ---------------------------------------------------------------------------------------


@service("anyone")
def project_create(
    ctx: RequestContext,
    *,
    name: str,
    domain_id: str | None = None,
    parent_id: str | None = None,
    is_domain: bool = False,
    description: str | None = None,
    enabled: bool = True,
    tags: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Project:
    """A new project below a project or directly in a domain; with `is_domain` a domain.

    Raises NotFound for domain or parent, Invalid if they contradict each other, Forbidden below a disabled or too
    deep project, Conflict for the name.
    """
    project = Project(
        name=name,
        is_domain=is_domain,
        description=description or "",
        enabled=enabled,
        tags=list(tags),
        options=merged_options({}, options),
        extra=dict(extra or {}),
    )
    if is_domain:
        if domain_id or parent_id:
            raise Invalid("A project acting as a domain has neither domain_id nor parent_id.", field="is_domain")
    else:
        _place(ctx, project, domain_id, parent_id)
    enforce(ctx, "identity:create_project", target_of(project=project))
    project.save(force_insert=True)
    return project


def _place(ctx: RequestContext, project: Project, domain_id: str | None, parent_id: str | None) -> None:
    """Set domain and parent, each derived from the other where it is missing."""
    parent = row_of(Project, parent_id, "project") if parent_id else None
    inside = (parent.domain_id or parent.pk) if parent else None
    domain = row_of(Domain, domain_or_own(domain_id or inside, ctx), "domain")
    if inside and domain.pk != inside:
        raise Invalid("Invalid domain_id: it is not the domain of the parent.", field="domain_id")
    project.domain = domain
    project.parent = parent or domain
    if parent is None:
        return
    above = [parent, *project_parents(parent.pk)]
    if not all(one.enabled for one in above):
        raise Forbidden(f"Cannot create a project in a branch that contains a disabled project: {parent.pk}.")
    rules = settings.CONFIG.identity
    most = 1 if rules.limits_model == TWO_LEVELS else rules.max_project_depth
    if len([one for one in above if not one.is_domain]) >= most:
        raise Forbidden(f"Max hierarchy depth reached for {parent.pk} branch.")


@service("anyone")
def project_update(
    ctx: RequestContext,
    *,
    project_id: str,
    domain_id: str | None = None,
    parent_id: str | None = None,
    is_domain: bool | None = None,
    extra: Mapping[str, Any] | None = None,
    cascade: bool = False,
    **changes: Any,
) -> Project:
    """Change a project; disabling it ends every token for it. With `cascade` those below it are disabled first.

    Raises NotFound, Invalid or Forbidden for what cannot change, Conflict for the name.
    """
    project = Project.objects.select_for_update(no_key=True).filter(pk=project_id).first()
    enforce(ctx, "identity:update_project", target_of(project=project))
    if project is None:
        raise NotFound("project", project_id)
    if parent_id is not None and parent_id != project.parent_id:
        raise Forbidden("Update of `parent_id` is not allowed.")
    unchangeable(project, domain_id=domain_id, is_domain=is_domain)
    if cascade and changes.get("enabled") is False:
        for below in project_subtree(project.pk).filter(enabled=True):
            enforce(ctx, "identity:update_project", target_of(project=below))
            _update(below, "project", {"enabled": False}, None)
    if not project.is_domain:
        _enabled_fits(project, changes.get("enabled"))
    _update(project, "project", changes, extra)
    return project


def _enabled_fits(project: Project, enabled: bool | None) -> None:
    """A branch is enabled from the root on and disabled from the leaves on."""
    if enabled is False and project_subtree(project.pk).filter(enabled=True).exists():
        raise Forbidden(f"Cannot disable project {project.pk} since its subtree contains enabled projects.")
    if enabled is True and not all(parent.enabled for parent in project_parents(project.pk) if not parent.is_domain):
        raise Forbidden(f"Cannot enable project {project.pk} since it has disabled parents.")


def _update(row: Project, noun: str, changes: dict[str, Any], extra: Mapping[str, Any] | None) -> None:
    mutable(row, noun, options=changes.get("options"))
    if "tags" in changes:
        changes["tags"] = list(changes["tags"])
    ends = changes.get("enabled") is False and row.enabled
    apply(row, changes, extra=extra)
    if ends:
        end_tokens_of_project(row)
    change_epoch()


@service("anyone")
def project_delete(ctx: RequestContext, *, project_id: str, cascade: bool = False) -> None:
    """Remove an empty project with the assignments on it; with `cascade` also the projects below, if all are disabled.

    Raises NotFound, Forbidden while it has (enabled) projects below it, Conflict, saying what is left, while one has
    resources.
    """
    project = Project.objects.filter(pk=project_id).first()
    enforce(ctx, "identity:delete_project", target_of(project=project))
    if project is None:
        raise NotFound("project", project_id)
    if project.is_domain:
        _delete_domain(ctx, project)
        return
    mutable(project, "project", deleting=True)
    below = project_subtree(project.pk)
    if cascade:
        for one in below:
            enforce(ctx, "identity:delete_project", target_of(project=one))
            mutable(one, "project", deleting=True)
        if project.enabled or below.filter(enabled=True).exists():
            raise Forbidden(f"Cannot delete project {project_id} since its subtree contains enabled projects.")
    elif below.exists():
        raise Forbidden(f"Cannot delete the project {project_id} since it is not a leaf in the hierarchy.")
    _remove(ctx, Project.objects.filter(pk__in=[project_id, *below.values_list("pk", flat=True)]))


_PURGE_HINT = "Delete them first, or have an administrator purge the project."


def _remove(ctx: RequestContext, projects: QuerySet[Project]) -> None:
    """Delete rows of projects, unless something belongs to one."""
    ids = list(projects.values_list("pk", flat=True))
    found = owned.holdings(ids)
    if left := [one for one in found if not one.kind.incidental]:
        raise Conflict(f"The project still has resources: {owned.told(left)}.", hint=_PURGE_HINT)
    for one in found:
        for row in owned.rows_of(one.kind, ids):
            owned.remove(ctx, one.kind, row)
    try:
        projects.delete()
    except RestrictedError as error:
        kinds = Counter(row._meta.verbose_name_plural for row in error.restricted_objects)
        words = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items(), key=str))
        raise Conflict(f"The project still has resources: {words}.", hint=_PURGE_HINT) from error
    User.objects.filter(default_project_id__in=ids).update(default_project_id=None)
    change_epoch()


# --- tags -------------------------------------------------------------------------------------------


@service("anyone")
def project_tags_set(ctx: RequestContext, *, project_id: str, tags: Sequence[str]) -> list[str]:
    """Replace the tags of a project. Raises NotFound, Invalid."""
    return _tags(ctx, "identity:update_project_tags", project_id, lambda _: sorted(set(tags)))


@service("anyone")
def project_tag_add(ctx: RequestContext, *, project_id: str, tag: str) -> list[str]:
    """Add one tag; harmless if it is there. Raises NotFound, Invalid for a bad tag or too many."""
    if not tag or len(tag) > 255 or "," in tag or "/" in tag:
        raise Invalid("A tag has from 1 to 255 characters, without comma and slash.", field="tag")
    return _tags(ctx, "identity:create_project_tag", project_id, lambda tags: sorted({*tags, tag}))


@service("anyone")
def project_tag_remove(ctx: RequestContext, *, project_id: str, tag: str) -> None:
    """Drop one tag. Raises NotFound for project or tag."""

    def without(tags: Sequence[str]) -> list[str]:
        if tag not in tags:
            raise NotFound("project tag", tag)
        return [one for one in tags if one != tag]

    _tags(ctx, "identity:delete_project_tag", project_id, without)


@service("anyone")
def project_tags_clear(ctx: RequestContext, *, project_id: str) -> None:
    """Drop all tags. Raises NotFound."""
    _tags(ctx, "identity:delete_project_tags", project_id, lambda _: [])


def _tags(ctx: RequestContext, rule: str, project_id: str, change: Any) -> list[str]:
    project = Project.objects.select_for_update(no_key=True).filter(pk=project_id).first()
    enforce(ctx, rule, target_of(project=project))
    if project is None:
        raise NotFound("project", project_id)
    mutable(project, "project")
    tags: list[str] = change(project.tags)
    if len(tags) > MAX_TAGS:
        raise Invalid(f"A project has at most {MAX_TAGS} tags.", field="tags")
    apply(project, {"tags": tags}, extra=None)
    return tags
