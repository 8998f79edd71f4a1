"""Ways of fine-tuning beyond the plain one, one a file."""
