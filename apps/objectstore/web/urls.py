"""Addresses of the object store's pages, below `/p/<project>/`. Objects' names may hold anything: they are queries."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import cells, navigation, palette
from apps.core.web.pages import list_paths
from apps.objectstore import selectors
from apps.objectstore.web import (
    access,
    browse,
    containers,
    cors,
    lifecycle,
    marks,
    objects,
    sites,
    transfers,
    upkeep,
    uploads,
    versions,
)

app_name = "objectstore"

urlpatterns = [
    *list_paths("objects", containers.Containers),
    path("objects/create", containers.ContainerCreate.as_view(), name="container-create"),
    path("objects/<uuid:ident>", browse.Objects.as_view(), name="objects"),
    path("objects/<uuid:ident>/act/<slug:action>", browse.ObjectsAct.as_view(), name="objects-act"),
    path("objects/<uuid:ident>/versions", versions.Versions.as_view(), name="versions"),
    path("objects/<uuid:ident>/versions/act/<slug:action>", versions.VersionsAct.as_view(), name="versions-act"),
    path("objects/<uuid:ident>/access", access.Access.as_view(), name="access"),
    *list_paths("admin/objects", upkeep.Disks),
    path("objects/<uuid:ident>/policy", access.Policy.as_view(), name="policy"),
    path("objects/<uuid:ident>/settings", access.Settings.as_view(), name="container"),
    path("objects/<uuid:ident>/lifecycle", lifecycle.Lifecycle.as_view(), name="lifecycle"),
    path("objects/<uuid:ident>/cors", cors.Cors.as_view(), name="cors"),
    path("objects/<uuid:ident>/site", sites.Site.as_view(), name="site"),
    path("objects/<uuid:ident>/tags", marks.BucketTags.as_view(), name="tags"),
    path("objects/<uuid:ident>/lock", marks.BucketLock.as_view(), name="lock"),
    path("objects/<uuid:ident>/grants", marks.BucketGrants.as_view(), name="grants"),
    path("objects/<uuid:ident>/links/revoke", access.LinksRevoke.as_view(), name="links-revoke"),
    path("objects/<uuid:ident>/folder", browse.FolderCreate.as_view(), name="folder-create"),
    path("objects/<uuid:ident>/object", objects.ObjectPage.as_view(), name="object"),
    path("objects/<uuid:ident>/object/edit", objects.ObjectEdit.as_view(), name="object-edit"),
    path("objects/<uuid:ident>/object/copy", objects.ObjectCopy.as_view(), name="object-copy"),
    path("objects/<uuid:ident>/object/tags", marks.ObjectTags.as_view(), name="object-tags"),
    path("objects/<uuid:ident>/object/lock", marks.ObjectLock.as_view(), name="object-lock"),
    path("objects/<uuid:ident>/object/grants", marks.ObjectGrants.as_view(), name="object-grants"),
    path("objects/<uuid:ident>/object/share", objects.ObjectShare.as_view(), name="object-share"),
    path("objects/<uuid:ident>/uploads", uploads.Uploads.as_view(), name="uploads"),
    path("objects/<uuid:ident>/uploads/<uuid:upload>", uploads.Upload.as_view(), name="upload"),
    *transfers.urlpatterns,
]

navigation.register(
    navigation.Link("objectstore:containers", _("Containers"), "archive", "storage", 10, "object_store:read", "g b"),
    navigation.Link("objectstore:disks", _("Object store"), "database", "admin", 20, upkeep.OPERATE),
)
palette.register(palette.Command(_("Create a container"), "objectstore:container-create", "archive", containers.OWN))
palette.searcher(
    "container",
    _("Containers"),
    lambda ctx, typed: [
        palette.Hit(c.name, "objectstore:objects", (c.pk,), "archive", cells.bytes_of("bytes_now")(c, None))
        for c in selectors.container_rows(ctx).filter(name__icontains=typed).order_by("name")[: palette.MOST]
    ],
)
