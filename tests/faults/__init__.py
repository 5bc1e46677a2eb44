"""What must not hurt anyone else: bad bytes, lost servers, slow readers, bugs."""
