"""Keep addresses and contacts, what a seller prints on its documents, and which tax number held when."""

import sqlalchemy as sa
from alembic import op

from billing.store.tables import Instant

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("registration", "email", "bank_name", "iban", "bic"):
        op.add_column("legal_entities", sa.Column(name, sa.String(), nullable=True))
    op.add_column("customer_versions", sa.Column("tax_number", sa.String(), nullable=True))
    op.execute(
        "UPDATE customer_versions SET tax_number = (SELECT customers.tax_number FROM customers "
        "WHERE customers.customer_id = customer_versions.customer_id)"
    )
    op.create_table(
        "addresses",
        sa.Column("address_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("entity_id", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("lines", sa.String(), nullable=False),
        sa.Column("postal_code", sa.String(), server_default="", nullable=False),
        sa.Column("city", sa.String(), nullable=False),
        sa.Column("region", sa.String(), server_default="", nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("(customer_id is null) <> (entity_id is null)", name=op.f("ck_addresses_owner")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_addresses_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["entity_id"], ["legal_entities.entity_id"], name=op.f("fk_addresses_entity_id")
        ),
        sa.PrimaryKeyConstraint("address_id", name=op.f("pk_addresses")),
    )
    op.create_index("ix_addresses_customer_id", "addresses", ["customer_id"])
    op.create_index("ix_addresses_entity_id", "addresses", ["entity_id"])
    op.create_table(
        "contacts",
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("removed_at", Instant(), nullable=True),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.customer_id"], name=op.f("fk_contacts_customer_id")
        ),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_contacts")),
    )
    op.create_index("ix_contacts_changed_at", "contacts", ["changed_at"])
    op.create_index("ix_contacts_customer_id", "contacts", ["customer_id"])
