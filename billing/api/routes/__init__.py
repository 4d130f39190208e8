"""The routes, a module a resource; each module gives its `routes`."""
