"""Alembic's environment: runs the revisions on the connection that reset.db.migrate hands in."""

from alembic import context

from reset.db.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run the migrations with: token-reset db upgrade")
# batch mode, because SQLite cannot change a constraint in place
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
