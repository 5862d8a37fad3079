"""What may be said of a difference: one comparison, and claims that a page makes and asserts."""
