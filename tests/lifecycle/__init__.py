"""What happens to a row after its soft delete."""
