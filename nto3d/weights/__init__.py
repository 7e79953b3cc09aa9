"""Reading weights of other people."""
