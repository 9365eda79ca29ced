"""Key pairs of the signed-in user. A generated private key is shown once, on the page that made it."""

from __future__ import annotations

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.compute import selectors, services
from apps.compute.models import KeyPair
from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.forms import NamedForm
from apps.core.web.pages import FormPage, ListPage, said
from apps.core.web.tables import AGE, Column, Empty, Table, deletes, name_column

TABLE = Table(
    columns=(
        name_column(),
        Column(key="type", label=_("Type"), cell=cells.text("type")),
        Column(key="fingerprint", label=_("Fingerprint"), cell=cells.mono("fingerprint")),
        AGE,
    ),
    sort="name",
    search=("name__icontains", "fingerprint__startswith"),
    actions=(
        deletes(
            lambda ctx, row: services.key_pair_delete(ctx, name=row.name),
            rule="os_compute_api:os-keypairs:delete",
            question=_("Servers that got this key keep it; new ones cannot get it any more."),
        ),
    ),
    live="key_pair",
    empty=Empty(
        icon="key-round",
        title=_("No key pairs yet"),
        text=_("A key pair lets you into your servers by SSH. Bring your own public key, or have one made."),
        link="compute:key-pair-create",
        label=_("Add a key pair"),
    ),
)


class KeyPairs(ListPage):
    title = _("Key pairs")
    nav = "compute:key-pairs"
    table = TABLE
    create = ("compute:key-pair-create", _("Add a key pair"), "os_compute_api:os-keypairs:create")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[KeyPair]:
        return selectors.key_pair_list(ctx)


class KeyPairForm(NamedForm):
    public_key = forms.CharField(
        label=_("Public key"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "ssh-ed25519 AAAA…", "spellcheck": "false"}),
        help_text=_("One line, such as the content of ~/.ssh/id_ed25519.pub. Left empty, a pair is made for you."),
    )


class KeyPairCreate(FormPage):
    title = _("Add a key pair")
    list_page = KeyPairs
    form = KeyPairForm
    submit = _("Add")

    def finish(self, form: forms.Form) -> HttpResponse:
        given = form.cleaned_data
        made = services.key_pair_create(self.ctx, name=given["name"], public_key=given["public_key"].strip() or None)
        if not made.private_key:
            return self.answer(self.url("compute:key-pairs"), ("success", said(_("Added"), given["name"])))
        response = self.render("compute/key_pair_made.html", title=given["name"], private_key=made.private_key)
        response["Cache-Control"] = "no-store"
        return response
