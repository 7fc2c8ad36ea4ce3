"""`hatidata demo`: a whole warehouse on sample data, and a tour that checks what it shows."""
