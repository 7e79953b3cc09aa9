"""PatchMatch multi-view stereo."""
