"""From experiments to runs that are done: planned, started, measured."""
