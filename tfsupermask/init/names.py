"""The names of initialisations, and of what may follow them."""

# Scale and mode as in `keras.initializers.VarianceScaling`: variance = scale / fan,
# here 2 / (fan_in + fan_out) for Xavier, 2 / fan_in for the others.
# The normals are true normals; Keras' GlorotNormal and HeNormal are truncated.
SCALES = {
    "glorot_normal": (1.0, "fan_avg", "untruncated_normal"),
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "kaiming_normal": (2.0, "fan_in", "untruncated_normal"),
    "kaiming_uniform": (2.0, "fan_in", "uniform"),
    "signed_constant": (2.0, "fan_in", "signed_constant"),
}
NAMES = tuple(SCALES)
RESCALINGS = ("none", "unit_power")
