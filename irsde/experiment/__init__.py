"""What is asked for and what made a result: profile, grid, cards, code."""
