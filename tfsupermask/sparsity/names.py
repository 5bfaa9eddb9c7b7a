"""The names of allocations."""

ALLOCATIONS = ("uniform", "erdos_renyi", "global")
