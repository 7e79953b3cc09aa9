"""What reads a user's files and arguments, each with small valid ones to begin with."""
