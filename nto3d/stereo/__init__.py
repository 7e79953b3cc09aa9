"""Multi-view stereo: depths, normals and how sure they are, for every picture."""
