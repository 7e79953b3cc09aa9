"""What is done with a finished run: measure it again, export it, show it, ask it; and pictures of any mesh."""
