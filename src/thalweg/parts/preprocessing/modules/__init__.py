"""What fitted preparations are: modules that hold all they know in buffers."""
