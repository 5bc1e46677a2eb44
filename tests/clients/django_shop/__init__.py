"""A Django project of one app: its models, and migrations that add soft delete to a table and use it at once."""
