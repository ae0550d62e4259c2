// The page /docs.
