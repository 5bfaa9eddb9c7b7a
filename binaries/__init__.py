"""Programs: thin front ends of the library with absl."""
