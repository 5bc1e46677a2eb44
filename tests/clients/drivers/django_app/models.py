"""The models; their tables exist, and `search_path` finds them."""

from django.db import models


class User(models.Model):
    """A user."""

    id = models.BigAutoField(primary_key=True)
    email = models.TextField()
    name = models.TextField(null=True)

    class Meta:
        """Its table."""

        managed = False
        db_table = "users"

    def __str__(self) -> str:
        """Return what the admin shows."""
        return f"user {self.name}"


class Order(models.Model):
    """An order of a user."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="orders")
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)

    class Meta:
        """Its table."""

        managed = False
        db_table = "orders"
