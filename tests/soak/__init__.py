"""Many clients, broken connections, restarts, reloads, for as long as wanted: is an answer wrong, is anything left?"""
