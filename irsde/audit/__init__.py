"""What lies behind published numbers: verifying, explaining, recomputing and exchanging them."""
