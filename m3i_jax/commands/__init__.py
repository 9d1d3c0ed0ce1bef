"""What can be run from a command line, a file per verb: flags, and a `main` that uses the rest."""
