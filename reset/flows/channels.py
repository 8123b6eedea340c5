"""The ways of a holder to a code at a reset: mailboxes and the authenticator app."""

from __future__ import annotations

from reset.core.profile import SLOTS, Channels, Profile, is_within, masked
from reset.flows.parts import Parts
from reset.ports import UnitOfWork


def channels(parts: Parts, uow: UnitOfWork, uid: str, profile: Profile | None) -> Channels:
    """What counts for this person now; addresses masked.

    An address in a domain that the institution has named since is no second way (S1.74).
    """
    if profile is None:
        return Channels()
    app = uow.authenticators.get(uid, confirmed=True) is not None
    if parts.policy.code_box == "mailbox":
        return Channels(app=app, mailbox=True)
    known = ((slot, profile.confirmed(slot)) for slot in SLOTS)
    addresses = tuple(
        (slot, masked(address))
        for slot, address in known
        if address and not is_within(address, parts.mail_domains)
    )
    return Channels(addresses, app)
