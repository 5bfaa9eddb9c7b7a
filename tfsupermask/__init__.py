"""Supermasks for Keras 3: subnetworks of networks whose weights are never trained."""
