"""What is timed: SSL objectives and the models under them."""
