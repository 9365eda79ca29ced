"""Addresses below `/p/<project>/` through which objects' bytes go: the bytes pool answers these."""

from django.urls import path

from apps.objectstore.web import objects, uploads, versions

app_name = "objectstore"

urlpatterns = [
    path("objects/<uuid:ident>/file", objects.ObjectFile.as_view(), name="object-file"),
    path("objects/<uuid:ident>/versions/file", versions.VersionFile.as_view(), name="version-file"),
    path("objects/<uuid:ident>/uploads/<uuid:upload>/<int:number>", uploads.UploadPart.as_view(), name="upload-part"),
]
