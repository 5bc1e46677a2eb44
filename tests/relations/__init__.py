"""Foreign keys on soft deletion, beside a twin where DELETE removes."""
