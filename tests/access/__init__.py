"""Who gets in: encryption and authentication, on either side of the proxy."""
