"""What a database lacks for soft deletion, and the steps that mend it."""
