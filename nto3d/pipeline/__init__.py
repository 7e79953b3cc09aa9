"""The steps from pictures to a mesh, without files: what runs and the public interface are made of."""
