"""What API, portal and admin share: it knows HTTP, and no resource."""
