"""``python -m sqmodel``: the command line."""

from sqmodel.cli import main

if __name__ == "__main__":
    main()
