"""Whose roles a token carries: the user's own, or some that were handed over by a credential, a trust or OAuth."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from apps.identity.backends.tokens import Claims
from apps.identity.models import AccessToken, ApplicationCredential, Trust, User
from apps.identity.selectors.roles import RoleName, with_implied


@dataclass(frozen=True, slots=True)
class Delegation:
    """`user` acts, with roles of `giver`: all of them, or those of `kept` (of which a trust needs every one)."""

    user: User
    giver: User
    kept: frozenset[str] | None = None
    whole: bool = False
    credential: ApplicationCredential | None = None
    trust: Trust | None = None
    access_token: AccessToken | None = None

    def narrowed(self, roles: tuple[RoleName, ...]) -> tuple[RoleName, ...]:
        """What remains of the giver's roles; nothing where a trust's giver has lost one."""
        if self.kept is None:
            return roles
        if self.whole and not self.kept <= {role.id for role in roles}:
            return ()
        return tuple(role for role in roles if role.id in self.kept)


def delegation_of(claims: Claims, user: User) -> Delegation | None:
    """What the token of this user acts by; None if that is gone or does not fit the rest of the token."""
    if claims.credential_id:
        credential = ApplicationCredential.objects.filter(pk=claims.credential_id, user=user).first()
        kept = frozenset(credential.roles.values_list("pk", flat=True)) if credential else None
        return Delegation(user, user, kept, credential=credential) if credential else None
    if claims.trust_id:
        return _by_trust(claims, user)
    if claims.access_token_id:
        access = AccessToken.objects.filter(pk=claims.access_token_id, user=user, project_id=claims.target_id).first()
        kept = with_implied(access.roles.values_list("pk", flat=True)) if access else None
        return Delegation(user, user, kept, access_token=access) if access else None
    return Delegation(user, user)


def _by_trust(claims: Claims, trustee: User) -> Delegation | None:
    trust = trust_in_force(claims.trust_id)
    if trust is None or trust.trustee_id != trustee.pk or (trust.project_id or "") != claims.target_id:
        return None
    giver = origin_of(trust)
    if giver is None or not is_active(giver) or not is_active(trust.trustor):
        return None
    kept = with_implied(trust.roles.values_list("pk", flat=True))
    return Delegation(trust.trustor if trust.impersonation else trustee, giver, kept, whole=True, trust=trust)


def trust_in_force(trust_id: str) -> Trust | None:
    """A trust that has not expired; it may have been used up."""
    trust = Trust.objects.select_related("trustor__domain", "trustee__domain").filter(pk=trust_id).first()
    if trust is None or (trust.expires_at is not None and trust.expires_at <= timezone.now()):
        return None
    return trust


def origin_of(trust: Trust) -> User | None:
    """The first trustor of a chain of trusts; None where somebody between is disabled."""
    while trust.redelegated_trust_id:
        above = trust_in_force(trust.redelegated_trust_id)
        if above is None or not is_active(above.trustee):
            return None
        trust = above
    return trust.trustor


def generation_of(user: User, trust: Trust | None = None) -> int:
    """What changes when the tokens of anybody whom a token stands for must end: generations only rise."""
    lender = trust.trustor.token_generation if trust is not None and trust.trustor_id != user.pk else 0
    return user.token_generation + lender


def is_active(user: User) -> bool:
    """Are this user and their domain enabled?"""
    return user.enabled and user.domain.enabled
