"""What the admin shows: users with their orders, to be listed, searched and deleted."""

from django.contrib import admin

from tests.clients.drivers.django_app.models import Order, User


class Orders(admin.TabularInline):
    """A user's orders, on the user's page."""

    model = Order


@admin.register(User)
class Users(admin.ModelAdmin):
    """The list of users."""

    list_display = ("name", "email")
    search_fields = ("name",)
    ordering = ("id",)
    inlines = (Orders,)
