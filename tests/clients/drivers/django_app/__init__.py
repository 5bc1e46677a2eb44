"""A Django app over the shop's tables, written as if rows were removed for good, with its admin."""
