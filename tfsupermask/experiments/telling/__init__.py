"""What runs reached, as tables, figures and sentences."""
