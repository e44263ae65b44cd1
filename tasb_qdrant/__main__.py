"""`python -m tasb_qdrant` is the command line."""

from tasb_qdrant.cli.main import main

if __name__ == "__main__":
    main()
