"""From experiments to finished runs: planning, running, measuring."""
