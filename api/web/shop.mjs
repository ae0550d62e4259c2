// The page /shop.
