// The page /.
