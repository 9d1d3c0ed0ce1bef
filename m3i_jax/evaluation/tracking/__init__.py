"""Objects that a network follows through videos, and how well."""
