"""Load: the repository on disk becomes values, or problems with their places."""
