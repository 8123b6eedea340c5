"""The ways of a holder to a code at a reset: mailboxes and the authenticator app."""

from __future__ import annotations

from reset.core.policy import Policy
from reset.core.profile import SLOTS, Channels, Profile, masked
from reset.ports import UnitOfWork


def channels(policy: Policy, uow: UnitOfWork, uid: str, profile: Profile | None) -> Channels:
    """What counts for this person now; addresses masked."""
    if profile is None:
        return Channels()
    app = uow.authenticators.get(uid, confirmed=True) is not None
    if policy.code_box == "mailbox":
        return Channels(app=app, mailbox=True)
    addresses = tuple(
        (slot, masked(profile.confirmed(slot))) for slot in SLOTS if profile.confirmed(slot)
    )
    return Channels(addresses, app)
