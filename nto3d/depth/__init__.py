"""Where the depth of one picture comes from: a file, a network for single pictures, or the scene that holds it."""
