"""Payment gateways: the protocol, and one that simulates."""
