"""The tables of the identity profile: all of one person's rows go with the profile (S1.46)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
)

from reset.db.metadata import metadata
from reset.db.types import PlainText, UtcTime, Words

profiles = Table(
    "profiles",
    metadata,
    Column("uid", PlainText, primary_key=True),
    Column("recovery_address", PlainText, nullable=False),
    Column("recovery_pending", PlainText, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("second_address", PlainText, nullable=False, server_default=""),
    Column("second_pending", PlainText, nullable=False, server_default=""),
    Column("answers_at", UtcTime, index=True),
)

answers = Table(
    "answers",
    metadata,
    Column("uid", PlainText, ForeignKey("profiles.uid", ondelete="CASCADE"), primary_key=True),
    Column("question", PlainText, primary_key=True),
    Column("place", Integer, nullable=False),
    Column("own", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("norm_version", Integer, nullable=False),
    Column("parameters", PlainText, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    CheckConstraint("length(salt) > 0 AND length(record) > 0", name="salted"),
)

draws = Table(
    "draws",
    metadata,
    Column("uid", PlainText, primary_key=True),
    Column("questions", Words, nullable=False),
    Column("answered_at", UtcTime),
    CheckConstraint("questions <> '[]'", name="questions"),
)

authenticators = Table(
    "authenticators",
    metadata,
    Column("uid", PlainText, ForeignKey("profiles.uid", ondelete="CASCADE"), primary_key=True),
    # one that counts, and one that waits for its first code
    Column("confirmed", Boolean, primary_key=True),
    Column("id", PlainText, nullable=False, unique=True),
    Column("started_at", UtcTime, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    CheckConstraint("last_step >= 0 AND (last_step > 0 OR NOT confirmed)", name="last_step"),
)

rehearsals = Table(
    "rehearsals",
    metadata,
    Column("uid", PlainText, ForeignKey("profiles.uid", ondelete="CASCADE"), primary_key=True),
    Column("spent", Integer, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("right_at", UtcTime),
    CheckConstraint("spent >= 0", name="spent"),
)

reminders = Table(
    "reminders",
    metadata,
    Column("kind", PlainText, primary_key=True),
    Column("about", PlainText, primary_key=True),
    Column("at", UtcTime, nullable=False),
)
