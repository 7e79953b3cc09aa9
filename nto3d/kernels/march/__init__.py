"""Ray marching through an occupancy grid."""
