"""Alembic's entry: runs the migrations on the connection the store hands over, inside its transaction."""

from alembic import context

from billing.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
