"""The benchmark: time and memory of the parts that the speed rests on, and what makes the surface good."""
