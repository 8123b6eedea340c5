-- Rights in PostgreSQL: one role owns the tables and migrates, one serves.
--
-- 1. As a superuser:      createuser token_reset_owner; createuser token_reset
--                         createdb --owner token_reset_owner token_reset
-- 2. As the owner:        token-reset db upgrade   (settings whose database names the owner)
-- 3. As the owner, now and after every upgrade:
--                         psql --set ON_ERROR_STOP=1 --dbname token_reset --file postgres-roles.sql

BEGIN;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM token_reset;
GRANT USAGE ON SCHEMA public TO token_reset;

-- what the service changes and deletes
GRANT SELECT, INSERT, UPDATE, DELETE ON
    profiles, answers, draws, authenticators, tries, throttle, sessions
    TO token_reset;

-- what is changed but never deleted
GRANT SELECT, INSERT, UPDATE ON
    people, tokens, requests, proofs, mail_codes, approvals, delegations, jobs, operations, outbox,
    rehearsals, reminders
    TO token_reset;

-- whose UID it is in a directory elsewhere: noted once, forgotten by "people rebind"
GRANT SELECT, INSERT, DELETE ON directory_entries TO token_reset;

-- sealed SO PINs: added, and sealed anew by "escrow rewrap"
GRANT SELECT, INSERT ON escrow TO token_reset;
GRANT UPDATE (sealed) ON escrow TO token_reset;

-- the audit log, and checks of identity: read and added to, never changed
GRANT SELECT, INSERT ON audit_entries, checkpoints, identity_checks TO token_reset;
GRANT SELECT, UPDATE ON audit_head TO token_reset;

GRANT SELECT ON alembic_version TO token_reset;

COMMIT;
