"""`python -m session_store.cli` is the command as well."""

from . import main

main()
