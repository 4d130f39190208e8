"""The screens, a module a subject. Each function takes a visit and gives a Screen."""
