"""Real clients before the real program, each compared with a direct connection where it must not differ."""
