"""The launch page: one form that is checked while it is filled in, and says beforehand what will come of it.

What a first server lacks is made on the way: a network with a way out, and a key pair from a pasted public key.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from django import forms
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.compute import selectors, services
from apps.compute.models import Flavor
from apps.core.errors import KumoError
from apps.core.web.cells import size_mib
from apps.core.web.forms import ChoiceForm, Choices, named
from apps.core.web.pages import Page, put_error
from apps.hosts import selectors as hosts
from apps.identity import services as identity
from apps.image import selectors as images
from apps.image.models import Image
from apps.network import selectors as network
from apps.network import services as network_services

MAKE = "make"
NEW_KEY = "new"
MOST_AT_ONCE = 50
GIB = 1024**3

_SCRIPT = "#!/bin/sh\necho hello from $(hostname) > /root/hello\n"
_PACKAGES = "#cloud-config\npackages:\n  - nginx\nruncmd:\n  - systemctl enable --now nginx\n"
_PASSWORD = "#cloud-config\npassword: change-me\nchpasswd: { expire: false }\n"
PRESETS = (
    (_("A script at first boot"), _SCRIPT),
    (_("Packages and a service (cloud-init)"), _PACKAGES),
    (_("A password for the console (cloud-init)"), _PASSWORD),
)


class LaunchForm(ChoiceForm):
    """Everything about new servers. Choices are what the caller may use."""

    name = forms.CharField(
        label=_("Name"), max_length=255, widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"})
    )
    count = forms.IntegerField(label=_("How many"), min_value=1, max_value=MOST_AT_ONCE, initial=1)
    image = forms.ChoiceField(label=_("Image"))
    flavor = forms.ChoiceField(label=_("Flavor"))
    networks = forms.MultipleChoiceField(label=_("Networks"), required=False, widget=forms.CheckboxSelectMultiple)
    groups = forms.MultipleChoiceField(label=_("Security groups"), required=False, widget=forms.CheckboxSelectMultiple)
    key = forms.ChoiceField(label=_("Key pair"), required=False)
    key_name = forms.CharField(label=_("Name of the key pair"), max_length=255, required=False)
    public_key = forms.CharField(
        label=_("Public key"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "ssh-ed25519 AAAA…", "spellcheck": "false"}),
        help_text=_("One line, such as the content of ~/.ssh/id_ed25519.pub."),
    )
    user_data = forms.CharField(
        label=_("User data"),
        required=False,
        max_length=48_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=_("A script or a cloud-init document that the guest runs at its first boot."),
    )
    zone = forms.ChoiceField(label=_("Zone"), required=False)
    config_drive = forms.BooleanField(
        label=_("With a config drive"),
        required=False,
        help_text=_("For guests that cannot ask the metadata address."),
    )

    def __init__(self, *args: Any, offers: Offers, **kwargs: Any) -> None:
        choices: dict[str, Choices] = {
            "image": named(offers.images),
            "flavor": named(offers.flavors),
            "networks": [*named(offers.networks), (MAKE, _("a new one"))],
            "groups": [(name, name) for name in offers.groups],
            "key": [("", _("none")), *((k, k) for k in offers.keys), (NEW_KEY, _("paste a public key"))],
            "zone": [("", _("any")), *((z, z) for z in offers.fits.zones)],
        }
        super().__init__(*args, choices=choices, **kwargs)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("key") == NEW_KEY:
            for name in ("key_name", "public_key"):
                if not given.get(name) and name not in self.errors:
                    self.add_error(name, forms.ValidationError(_("This field is required."), code="required"))
        return given

    def drop_missing(self) -> None:
        """While somebody is still typing, a field not yet reached is no mistake."""
        for name in list(self.errors):
            if any(error.code == "required" for error in self.errors.as_data()[name]):
                del self.errors[name]


class Offers:
    """What there is to choose from for this caller, read once."""

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx
        self.images: list[Image] = list(
            images.image_list(ctx).filter(status="active", is_hidden=False).order_by("name", "pk")
        )
        self.flavors: list[Flavor] = list(selectors.flavor_list(ctx).order_by("ram_mib", "vcpus", "pk"))
        usable = network.network_list(ctx).filter(external=False).exclude(subnets=None).distinct()
        self.networks = [n for n in usable.order_by("name", "pk") if n.project_id == ctx.project_id or n.shared]
        own = network.security_group_list(ctx).filter(project_id=ctx.project_id)
        self.groups = list(own.order_by("name").values_list("name", flat=True)) or ["default"]
        self.keys = list(selectors.key_pair_list(ctx).order_by("name").values_list("name", flat=True))
        self.fits = hosts.host_fits(ctx, sizes=[(f.vcpus, f.ram_mib, f.root_gib) for f in self.flavors])

    def start(self) -> dict[str, Any]:
        """What is chosen at first: the smallest flavor that the first image fits, the only network, the first key."""
        image = self.images[0] if self.images else None
        fitting = [f for f in self.flavors if image is None or suits(f, image)]
        return {
            "image": str(image.pk) if image else "",
            "flavor": fitting[0].pk if fitting else "",
            "networks": [str(self.networks[0].pk)] if self.networks else [MAKE],
            "groups": ["default"] if "default" in self.groups else [],
            "key": self.keys[0] if self.keys else "",
        }


def suits(flavor: Flavor, image: Image) -> bool:
    """Is the flavor large enough for the image?"""
    disk = max(image.min_disk_gib, -(-(image.virtual_size or 0) // GIB))
    return flavor.ram_mib >= image.min_ram_mib and (flavor.root_gib == 0 or flavor.root_gib >= disk)


class Launch(Page):
    """The page, its checks while one types, and the launch."""

    template = "compute/launch.html"
    title = _("Launch a server")
    nav = "compute:servers"

    def get(self, request: HttpRequest) -> HttpResponse:
        offers = Offers(self.ctx)
        start = offers.start() | {k: v for k, v in request.GET.items() if k in {"image", "flavor", "name"}}
        return self._show(LaunchForm(initial=start, offers=offers), offers, start)

    def post(self, request: HttpRequest) -> HttpResponse:
        offers = Offers(self.ctx)
        form = LaunchForm(request.POST, offers=offers)
        valid = form.is_valid()
        if self.fragment == "launch":
            form.drop_missing()
            return self._show(form, offers, form.cleaned_data)
        if valid:
            try:
                made = self._launch(form.cleaned_data)
            except KumoError as error:
                put_error(form, error)
            else:
                words = ngettext("Launching %d server", "Launching %d servers", len(made)) % len(made)
                to = self.url("compute:server", made[0].pk) if len(made) == 1 else self.url("compute:servers")
                return self.answer(to, ("success", words))
        return self._show(form, offers, form.cleaned_data, 422)

    def _launch(self, given: dict[str, Any]) -> Sequence[Any]:
        """Everything or nothing: what was made on the way goes again when the servers are refused."""
        with transaction.atomic():
            key = given["key"]
            if key == NEW_KEY:
                services.key_pair_create(self.ctx, name=given["key_name"], public_key=given["public_key"].strip())
                key = given["key_name"]
            networks = [self._make_network() if ident == MAKE else ident for ident in given["networks"]]
            launched = services.server_create(
                self.ctx,
                name=given["name"],
                image_ref=given["image"],
                flavor_ref=given["flavor"],
                networks=[{"uuid": ident} for ident in networks] or "none",
                security_groups=[{"name": name} for name in given["groups"]],
                key_name=key or None,
                user_data=base64.b64encode(given["user_data"].encode()).decode() if given["user_data"] else None,
                availability_zone=given["zone"],
                config_drive=given["config_drive"],
                min_count=given["count"],
                max_count=given["count"],
            )
            return launched.servers

    def _make_network(self) -> str:
        """A network with a range of its own and, where there is an outside, a way there."""
        name = "main"
        made = network_services.network_create(self.ctx, name=name)
        own = network.subnet_list(self.ctx).filter(project_id=self.ctx.project_id)
        taken = set(own.values_list("cidr", flat=True))
        cidr = next(c for c in (f"10.{n}.0.0/24" for n in range(256)) if c not in taken)
        subnet = network_services.subnet_create(self.ctx, network_id=str(made.pk), name=name, cidr=cidr, ip_version=4)
        outside = network.network_list(self.ctx).filter(external=True).order_by("name").first()
        if outside is not None:
            gateway = {"network_id": str(outside.pk)}
            router = network_services.router_create(self.ctx, name=name, external_gateway_info=gateway)
            network_services.router_add_interface(self.ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
        return str(made.pk)

    # --- what the page shows -------------------------------------------------------------------------

    def _show(self, form: LaunchForm, offers: Offers, given: dict[str, Any], status: int = 200) -> HttpResponse:
        image = next((i for i in offers.images if str(i.pk) == given.get("image")), None)
        flavor = next((f for f in offers.flavors if f.pk == given.get("flavor")), None)
        flavors = [
            {"row": f, "suits": image is None or suits(f, image), "fits": n, "chosen": flavor == f}
            for f, n in zip(offers.flavors, offers.fits.counts, strict=True)
        ]
        return self.render(
            "compute/launch_body.html" if self.fragment == "launch" else "",
            form=form,
            images=[{"row": i, "chosen": image == i} for i in offers.images],
            flavors=flavors,
            taking=offers.fits.taking,
            presets=PRESETS,
            new_key=given.get("key") == NEW_KEY,
            will=self._will(given, image, flavor),
            quotas=self._quotas(flavor, given.get("count") or 1),
            fit=next((f["fits"] for f in flavors if f["chosen"]), None),
            total=given.get("count") or 1,
            flavor=flavor,
            image=image,
            status=status,
        )

    def _will(self, given: dict[str, Any], image: Image | None, flavor: Flavor | None) -> list[Any]:
        """What will happen, in the order it happens."""
        steps = []
        if given.get("key") == NEW_KEY:
            steps.append(gettext("Add the key pair “%s”") % (given.get("key_name") or "…"))
        if MAKE in (given.get("networks") or ()):
            steps.append(gettext("Make the network “main” with a router to the outside"))
        if image and flavor:
            size = f"{flavor.vcpus} vCPU, {size_mib(flavor.ram_mib)}"
            count = given.get("count") or 1
            what = ngettext(
                "Start %(n)d server (%(size)s) from “%(image)s”",
                "Start %(n)d servers (%(size)s each) from “%(image)s”",
                count,
            )
            steps.append(what % {"n": count, "size": size, "image": image.name})
        if not given.get("key"):
            steps.append(gettext("No key is put in: you get in by the image's own password, if it has one"))
        return steps

    def _quotas(self, flavor: Flavor | None, count: int) -> list[tuple[Any, float, float, float, str]]:
        """Label, used, limit, what this adds, unit."""
        project = self.ctx.project_id
        limits = identity.limits_of(self.ctx, project_id=project, service="compute")
        used = services.server_usage_of(self.ctx, project_id=project)
        more = {"instances": 1, "cores": flavor.vcpus if flavor else 0, "ram": flavor.ram_mib if flavor else 0}
        labels = {"instances": (_("Servers"), 1, ""), "cores": (_("vCPUs"), 1, ""), "ram": (_("Memory"), 1024, "GiB")}
        return [
            (label, _in(used[name], unit), _in(limits[name], unit), _in(more[name] * count, unit), word)
            for name, (label, unit, word) in labels.items()
        ]


def _in(value: int, unit: int) -> float:
    return value if unit == 1 or value < 0 else round(value / unit, 1)
