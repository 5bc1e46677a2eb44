"""What the database lacks, and the SQL that mends it."""
