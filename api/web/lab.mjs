// The page /lab.
