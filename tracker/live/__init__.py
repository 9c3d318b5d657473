"""A live source -> states as they happen: newest picture first, reconnecting, never out of order."""
