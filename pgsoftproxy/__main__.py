"""`python -m pgsoftproxy` is the command `pgsoftproxy`."""

from pgsoftproxy.cli import main

if __name__ == "__main__":
    main()
