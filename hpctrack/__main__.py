"""``python -m hpctrack``: the command line where the script is not on the path."""

from hpctrack.cli.main import main

if __name__ == "__main__":
    main()
