"""Use cases that join packages: track a file, many files or a live source; train."""
