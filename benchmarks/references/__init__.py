"""Plain, slow ways to the same results, which tests and measurements compare with."""
