"""The engine by HTTP: resources, and the acts on them."""
