"""The results of experiments as tables, figures and sentences."""
