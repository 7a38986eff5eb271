"""What `sansang-collector` can be told to do: a family of commands a file."""
