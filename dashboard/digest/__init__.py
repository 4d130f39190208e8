"""E-mail to readers: a view each day, week or month, and alerts when a figure crosses a threshold."""
