"""What is released about patients, what it costs, and who may still spend it."""
