"""`python -m ram`."""

from ram.cli.main import main

if __name__ == "__main__":
    main()
