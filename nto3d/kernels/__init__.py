"""Hash grid, ray marching and compositing: each with a torch twin and Warp kernels."""
