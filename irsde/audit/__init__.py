"""What is behind published numbers: verifying, explaining, recomputing and exchanging them."""
