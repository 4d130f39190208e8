"""What API, portal and admin read of the engine: rows by index, a page at a time, each within a scope."""
