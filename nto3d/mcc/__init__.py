"""MCC: an object's whole surface from one picture with depth (Wu et al. 2023, arXiv 2301.08247)."""
