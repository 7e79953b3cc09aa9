"""How a file is damaged: blindly, or along its format so that the damage gets past its frame and check sums."""
