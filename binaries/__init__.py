"""Programs: thin absl front ends of the library."""
