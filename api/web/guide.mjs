// The page /guide.
