"""Pictures of a mesh, and the page that shows what a run made."""
