"""`python -m pgsoftproxy.settings [schema | keys]` prints the JSON schema, or the key tables of the docs."""

import sys

from pgsoftproxy.settings.reference import json_schema, key_tables

if __name__ == "__main__":
    sys.stdout.write(key_tables() if sys.argv[1:] == ["keys"] else json_schema())
