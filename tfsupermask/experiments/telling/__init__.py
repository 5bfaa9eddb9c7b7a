"""What runs reached, told as tables, figures and sentences."""
