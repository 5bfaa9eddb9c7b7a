"""Programs that try to break what the project promises."""
