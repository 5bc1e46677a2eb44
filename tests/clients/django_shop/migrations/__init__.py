"""The app's migrations, in Django's own form."""
